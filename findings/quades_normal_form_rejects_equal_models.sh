#!/usr/bin/env bash
# One would think: Quade's post-hoc test with dist="normal" differs little from its t form, and calls two equal models
#                  different five times in a hundred at p < 0.05.
# What is so:      it does so some 20 to 26 times in a hundred pairs. With six equal models on 20 data sets four of
#                  five comparisons find some difference; with the t form, which is right, one of three does, as is to
#                  be expected of fifteen pairs without a correction.
# Versions:        scikit-posthocs 0.17.1.
# Source:          posthoc_quade in scikit_posthocs/_posthocs.py computes the standard error with n = blocks * models in
#                  place of blocks, and has a factor (k - 1) / 2 besides: its variance is about (k - 1) / (2 k) of the
#                  right one. The script computes the right one from the ranks alone: a difference of two ranks out of k
#                  has the variance k (k + 1) / 6, and a block's is multiplied by the square of its weight. Each
#                  statistic of the library is the right one times one factor.
# Why it matters:  models compared on many data sets are told apart by chance. Use dist="t" (the default).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile scikit-posthocs==0.17.1
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import sys
from importlib.metadata import version

import numpy as np
from scikit_posthocs import posthoc_quade
from scipy.stats import norm, rankdata

BLOCKS, RUNS = 20, 400


def by_hand(scores):
    blocks, k = scores.shape
    weights = rankdata(np.ptp(scores, axis=1))
    sums = (rankdata(scores, axis=1) * weights[:, None]).sum(0)
    deviation = np.sqrt((weights**2).sum() * k * (k + 1) / 6)
    return 2 * norm.sf(np.abs(sums[:, None] - sums[None]) / deviation)


def normal(scores):
    return posthoc_quade(scores, dist="normal").to_numpy()


def t(scores):
    return posthoc_quade(scores, dist="t").to_numpy()


changed = False
for k in (3, 6):
    pairs = np.triu_indices(k, 1)
    random = np.random.default_rng(0)
    runs = [random.normal(size=(BLOCKS, k)) for _ in range(RUNS)]
    found = {f.__name__: np.array([f(scores)[pairs] < 0.05 for scores in runs]) for f in (normal, t, by_hand)}
    rate = {name: round(float(hits.mean()), 3) for name, hits in found.items()}
    some = {name: round(float(hits.any(axis=1).mean()), 3) for name, hits in found.items()}
    ratio = norm.isf(by_hand(runs[0])[pairs] / 2) / norm.isf(normal(runs[0])[pairs] / 2)
    expected = np.sqrt(
        (k - 1) * (2 * BLOCKS * k + 1) * (BLOCKS + 1) / (2 * k * (BLOCKS * k + 1) * (2 * BLOCKS + 1))
    )
    print(
        f"scikit-posthocs {version('scikit-posthocs')}, {k} equal models on {BLOCKS} data sets, {RUNS} times: "
        f"pairs with p < 0.05 expected 0.05, seen {rate}; runs with at least one such pair {some}; standard error "
        f"of the normal form {ratio.min():.3f} to {ratio.max():.3f} of the right one"
    )
    changed |= not (
        rate["normal"] > 0.18
        and all(0.03 < rate[name] < 0.07 for name in ("t", "by_hand"))
        and np.allclose(ratio, expected, rtol=1e-3)
    )
if changed:
    sys.exit("changed: the normal form of Quade's test no longer rejects some four times too often")
PY
