#!/usr/bin/env bash
# One would think: a 95 % interval of macro recall, macro precision or F1 covers the true score in some 95 of 100 tests.
# What is so:      the default intervals of macro recall and precision are too narrow: in the case below they cover it
#                  in 87 tests. Those of macro F1 are too wide, for a good classifier three times, and cover it always;
#                  for perfect predictions the interval goes from 0.935 to 1.065. The package's own bootstrap agrees
#                  with the closed form.
# Versions:        confidenceinterval 1.0.5, scikit-learn 1.9.1, numpy 2.4.6.
# Source:          confidenceinterval/takahashi_methods.py: the covariance of the cells, diag(p) - p pT, is computed as
#                  np.diag(p) - p * p.transpose() with p flat, which is an elementwise product, not the outer one. For
#                  macro F1 two factors of the paper's formula (Takahashi and others, 2022, section 3.2) are added.
# Why it matters:  macro F1 of test sets is reported with such intervals. Real differences then look like
#                  chance, or chance like a difference.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile confidenceinterval==1.0.5 scikit-learn==1.9.1 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import sys
from importlib.metadata import version

import confidenceinterval as ci
import numpy as np
from sklearn import metrics

rng = np.random.default_rng(0)
rows, tests = 300, 1000
share = np.array([0.6, 0.3, 0.1])  # of the classes
weak = np.array([[0.80, 0.10, 0.10], [0.20, 0.70, 0.10], [0.30, 0.30, 0.40]])  # what each class is taken for
good = np.array([[0.99, 0.005, 0.005], [0.01, 0.98, 0.01], [0.01, 0.01, 0.98]])


def draw(confusion, count=rows):
    truth = rng.choice(3, count, p=share)
    edges = confusion.cumsum(1)[truth]
    return truth, np.minimum((rng.random((count, 1)) > edges).sum(1), 2)


def exact(confusion):
    """Macro recall, precision and F1 of the distribution itself."""
    cells = share[:, None] * confusion
    hits = np.diag(cells)
    return {
        "recall": (hits / cells.sum(1)).mean(),
        "precision": (hits / cells.sum(0)).mean(),
        "f1": (2 * hits / (cells.sum(1) + cells.sum(0))).mean(),
    }


def check(confusion, score):
    """Coverage of the intervals; their mean standard error by that of the score itself over the tests."""
    truth = exact(confusion)[score]
    values, errors, covered = [], [], 0
    for _ in range(tests):
        labels, predictions = draw(confusion)
        value, (low, high) = getattr(ci, score + "_score")(labels, predictions, average="macro")
        reference = getattr(metrics, score + "_score")(labels, predictions, average="macro", zero_division=0)
        if abs(value - reference) > 1e-6:
            sys.exit("the scores themselves differ")
        values.append(value)
        errors.append((high - low) / 2 / 1.959964)
        covered += low <= truth <= high
    return round(covered / tests, 3), round(float(np.mean(errors) / np.std(values)), 2)


seen = {
    (name, score): check(confusion, score)
    for name, confusion in (("weak", weak), ("good", good))
    for score in ("recall", "precision", "f1")
}
labels, predictions = draw(weak)
widths = {}
for method in ("takahashi", "bootstrap_percentile"):
    more = {} if method == "takahashi" else {"n_resamples": 999, "random_state": np.random.default_rng(0)}
    _, (low, high) = ci.recall_score(labels, predictions, average="macro", method=method, **more)
    widths[method] = round(float(high - low), 3)
counts = np.bincount(labels)
recalls = metrics.recall_score(labels, predictions, average=None)
formula = round(2 * 1.959964 * float(np.sqrt((recalls * (1 - recalls) / counts).sum())) / 3, 3)
perfect = ci.f1_score(labels, labels, average="macro")
print(f"confidenceinterval {version('confidenceinterval')}, {tests} tests of {rows} rows; expected 0.95 and 1, seen:")
for (name, score), (coverage, ratio) in seen.items():
    print(f"  {name} classifier, macro {score}: coverage {coverage}, standard error {ratio} of the real one")
print(f"width for macro recall of one test: {widths}; the sum of binomial variances gives {formula}")
print(f"macro F1 of perfect predictions: {perfect[0]:.3f}, {perfect[1][0]:.3f} to {perfect[1][1]:.3f}")
narrow = all(seen["weak", score][0] < 0.91 and seen["weak", score][1] < 0.85 for score in ("recall", "precision"))
wide = seen["weak", "f1"][1] > 1.15 and seen["good", "f1"][0] > 0.995 and seen["good", "f1"][1] > 2.5
checked = abs(widths["bootstrap_percentile"] / formula - 1) < 0.1 and widths["takahashi"] < 0.95 * formula
if not (narrow and wide and checked and perfect[1][1] > 1.01):
    sys.exit("changed: the intervals have other widths")
PY
