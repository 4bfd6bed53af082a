#!/usr/bin/env bash
# One would think: a Bayesian signed-rank test says "probably better, far from sure" when method B beats A by a hair
#                  on one data set of twenty and ties exactly on the other nineteen.
# What is so:      without a region of practical equivalence it says P(B better) = 1.0, and 0.0 for a hair in the
#                  other direction. A tie is split in halves, so the one difference decides every sample of the
#                  posterior. With twenty ties the answer is not half and half either: rounding errors decide, and A
#                  seems favoured.
# Versions:        baycomp 1.0.3, numpy 2.4.6, scipy 1.17.1.
# Source:          SignedRankTest.sample (without_rope) and Posterior.probs in baycomp/multiple.py.
# Why it matters:  accuracies on small test sets tie often, and PEFT methods differ by little: a table of such
#                  probabilities shows certainty made by one data set. A rope, however small, gives the expected
#                  answer.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile baycomp==1.0.3 numpy==2.4.6 scipy==1.17.1
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import sys
from importlib.metadata import version

import numpy as np
from baycomp import SignedRankTest

a = np.linspace(0.70, 0.89, 20)
won, lost = a.copy(), a.copy()
won[3] += 0.001
lost[3] -= 0.001
pairs = {"1 win, 19 ties": won, "1 loss, 19 ties": lost, "20 ties": a}
seen = {name: SignedRankTest.probs(a, b, random_state=0) for name, b in pairs.items()}  # P(A better), P(B better)
better = {name: round(float(p[1]), 2) for name, p in seen.items()}
roped = round(float(SignedRankTest.probs(a, won, 1e-6, random_state=0)[2]), 2)
print(
    f"baycomp {version('baycomp')}: P(B better), expected somewhat above 0.5, below it, and 0.5; seen {better}; "
    f"one win with a rope of 1e-6: {roped}"
)
if not (better["1 win, 19 ties"] == 1.0 and better["1 loss, 19 ties"] == 0.0 and roped < 0.1):
    sys.exit("changed: one difference among ties no longer decides")
PY
