#!/usr/bin/env bash
# One would think: the "power" that pingouin's ttest(paired=True) puts beside the p-value is that of the paired test.
# What is so:      on 20 data sets that differ much more than two models do, it is 0.05 to 0.11 while the test finds the
#                  gain of 0.01 in 19 of 20 repetitions and more.
# Versions:        pingouin 0.7.0.
# Source:          ttest in pingouin/parametric.py gives power_ttest(contrast="paired") the effect size d of
#                  compute_effsize, which divides by the spread of the scores (over data sets). The power of a paired
#                  test goes by the mean difference over the spread of the differences. That effect size, put into
#                  power_ttest itself, gives the power that the repetitions and statsmodels give.
# Why it matters:  a comparison is thought too small when it is not, and data sets or seeds are added for nothing.
#                  Compute the power from the differences: ttest(a - b, 0).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile pingouin==0.7.0 statsmodels==0.15.0
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import sys
from importlib.metadata import version

import numpy as np
from pingouin import power_ttest, ttest
from scipy.stats import ttest_rel
from statsmodels.stats.power import TTestPower

DATA_SETS, GAIN, NOISE = 20, 0.01, 0.01
random = np.random.default_rng(0)
hits, paired, of_differences = [], [], []
for _ in range(400):
    base = random.normal(0.7, 0.15, DATA_SETS)
    tuned = base + random.normal(GAIN, NOISE, DATA_SETS)
    hits.append(ttest_rel(tuned, base).pvalue < 0.05)
    paired.append(float(ttest(tuned, base, paired=True)["power"].iloc[0]))
    of_differences.append(float(ttest(tuned - base, 0)["power"].iloc[0]))
found = float(np.mean(hits))
true = float(TTestPower().power(effect_size=GAIN / NOISE, nobs=DATA_SETS, alpha=0.05))
own = float(power_ttest(d=GAIN / NOISE, n=DATA_SETS, power=None, alpha=0.05, contrast="paired"))
print(
    f"pingouin {version('pingouin')}: a gain of {GAIN} +- {NOISE} on {DATA_SETS} data sets, 400 times: p < 0.05 in "
    f"{found:.3f} of them; power by statsmodels {true:.3f}, by power_ttest {own:.3f}, expected in the table about "
    f"that; seen with paired=True {min(paired):.3f} to {max(paired):.3f}, of the differences in the median "
    f"{np.median(of_differences):.3f}"
)
if not (
    found > 0.95 and abs(found - true) < 0.03 and abs(own - true) < 0.001 and max(paired) < 0.15
    and np.median(of_differences) > 0.95
):
    sys.exit("changed: the power beside a paired test is no longer that of the unpaired effect size")
PY
