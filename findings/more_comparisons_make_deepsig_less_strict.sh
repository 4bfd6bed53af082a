#!/usr/bin/env bash
# One would think: deepsig corrects for many comparisons, as Bonferroni does: a single comparison needs no correction,
#                  and the more models are compared, the larger epsilon_min becomes, so the fewer differences count.
# What is so:      the confidence level c becomes c + (1 - c) / n and not 1 - (1 - c) / n. Both are equal at n = 2. From
#                  there on more comparisons make the test less strict: with 45 of them (ten models) it is as strict as
#                  without correction. At n = 1 the level is 1.0: multi_aso of two models, by default, returns 1
#                  ("no difference") or NaN, however far the models are apart.
# Versions:        deepsig 1.2.8, numpy 2.4.6, scipy 1.17.1, pandas 3.1.1.
# Source:          aso and multi_aso in deepsig/aso.py: "confidence_level += (1 - confidence_level) / num_comparisons".
# Why it matters:  almost stochastic order is made for scores of neural networks over seeds. A table of ten methods
#                  shows uncorrected results as corrected ones; a comparison of two shows no winner at all.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile deepsig==1.2.8 numpy==2.4.6 scipy==1.17.1 pandas==3.1.1
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import sys
from importlib.metadata import version

import numpy as np
from deepsig import aso, multi_aso

quiet = {"seed": 0, "show_progress": False, "num_bootstrap_iterations": 300}
a = [0.800, 0.806, 0.812, 0.815, 0.819, 0.822, 0.826, 0.829, 0.833, 0.838]
b = [0.789, 0.794, 0.799, 0.805, 0.809, 0.813, 0.819, 0.827, 0.834, 0.842]
counts = (2, 3, 10, 45)  # 45 pairs of ten models
seen = {n: round(float(aso(a, b, num_comparisons=n, **quiet)), 3) for n in counts}
bonferroni = {n: round(float(aso(a, b, confidence_level=1 - 0.05 / n, **quiet)), 3) for n in counts}
plain = round(float(aso(a, b, **quiet)), 3)
high, low = [0.900, 0.901, 0.902, 0.903, 0.904], [0.700, 0.701, 0.702, 0.703, 0.704]
alone = float(aso(high, low, **quiet))
pair = float(multi_aso([high, low], **quiet)[0, 1])
pair_close = float(multi_aso([a, b], **quiet)[0, 1])
print(
    f"deepsig {version('deepsig')}: epsilon_min of one pair, uncorrected {plain}; corrected for n comparisons expected "
    f"{bonferroni}, seen {seen}. Two models, five seeds each near 0.9 and 0.7: aso says {alone}, multi_aso {pair}; for "
    f"the pair above multi_aso says {pair_close}"
)
falls = seen[2] > seen[3] > seen[10] > seen[45] and abs(seen[45] - plain) < 0.02
rises = plain < bonferroni[2] < bonferroni[3] < bonferroni[10] <= bonferroni[45] and seen[2] == bonferroni[2]
if not (falls and rises and alone == 0.0 and np.isnan(pair) and pair_close == 1.0):
    sys.exit("changed: more comparisons make the test stricter, or two models can differ")
PY
