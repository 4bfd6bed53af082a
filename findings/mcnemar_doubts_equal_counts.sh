#!/usr/bin/env bash
# One would think: two models that each win the same number of examples are as equal as can be: McNemar's p is 1.
# What is so:      the chi-squared form with the continuity correction gives 0.48 for one win each, 0.68 for three and
#                  0.82 for ten; the correction makes a difference of -1 out of 0. The p of 1:1 is even the p of 2:0.
#                  The exact form gives 1, and the form without correction too.
# Versions:        statsmodels 0.15.0, mlxtend 0.25.0.
# Source:          mcnemar in statsmodels/stats/contingency_tables.py and mlxtend/evaluate/mcnemar.py compute
#                  (|b - c| - 1)^2 / (b + c) for b = c as well.
# Why it matters:  such p-values go into Holm's correction or Fisher's method over many data sets as evidence that is
#                  not there. Use exact=True for few discordant examples.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile statsmodels==0.15.0 mlxtend==0.25.0
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import sys
from importlib.metadata import version

import numpy as np
from mlxtend.evaluate import mcnemar as mlxtend
from statsmodels.stats.contingency_tables import mcnemar as statsmodels


def p_values(wins, losses):
    table = np.array([[50, wins], [losses, 50]])
    values = {
        "statsmodels": statsmodels(table, exact=False).pvalue,
        "mlxtend": mlxtend(table)[1],
        "exact": statsmodels(table, exact=True).pvalue,
        "no correction": statsmodels(table, exact=False, correction=False).pvalue,
    }
    return {name: round(float(value), 2) for name, value in values.items()}


seen = {f"{n}:{n}": p_values(n, n) for n in (1, 3, 10)}
unequal = p_values(2, 0)["statsmodels"]
print(
    f"statsmodels {version('statsmodels')}, mlxtend {version('mlxtend')}: p by wins:losses, expected 1 for all, "
    f"seen {seen}; for 2:0 {unequal}"
)
if not all(
    values["statsmodels"] == values["mlxtend"] == p and values["exact"] == values["no correction"] == 1
    for values, p in zip(seen.values(), (0.48, 0.68, 0.82), strict=True)
):
    sys.exit("changed: equal counts no longer get a p below 1 from the corrected form alone")
PY
