#!/usr/bin/env bash
# One would think: the interquartile mean of three scores drops the best and the worst, or interpolates the quartiles.
# What is so:      with three scores or fewer rliable's IQM is the plain mean, the worst outlier at full weight. With
#                  four to seven it drops one at each end, whatever share of them that is (of five it keeps three
#                  fifths).
# Versions:        rliable 1.2.0, scipy 1.17.1, numpy 2.4.6.
# Source:          aggregate_iqm in rliable/metrics.py is scipy.stats.trim_mean with 0.25, which cuts int(0.25 n) a
#                  side.
# Why it matters:  three seeds on one task are the usual case in PEFT papers; "we report the IQM, which is robust" is
#                  then untrue, and the numbers of three and of five seeds are not of one kind.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile rliable==1.2.0 scipy==1.17.1 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import sys
from importlib.metadata import version

import numpy as np
from rliable import metrics

scores = {3: [0.8, 0.9, 0.1], 4: [0.8, 0.9, 0.1, 0.8], 5: [0.8, 0.9, 0.1, 0.8, 0.85]}
seen = {n: round(float(metrics.aggregate_iqm(np.array(s)[:, None])), 3) for n, s in scores.items()}
print(
    f"rliable {version('rliable')}: IQM of 0.8, 0.9, 0.1 and up to two good scores, expected 0.8 to 0.82, seen {seen}"
)
if seen != {3: 0.6, 4: 0.8, 5: 0.817}:
    sys.exit("changed: the IQM of three scores is no longer their mean")
PY
