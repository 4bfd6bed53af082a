#!/usr/bin/env bash
# One would think: on 20 data sets where A beats B and B beats C by 0.010 +- 0.001 each time, autorank, made for paired
#                  scores, says that A, B and C differ.
# What is so:      the repeated-measures ANOVA has a p of 1e-30 or less, and the report goes on: no significant
#                  difference between A and B, nor between B and C. The post-hoc step compares confidence intervals of
#                  the means over data sets; the spread between easy and hard data sets hides what is paired. A paired
#                  t-test of A and B has a p below 1e-15.
# Versions:        autorank 1.3.0, scipy 1.17.1, statsmodels 0.15.0.
# Source:          _confidence_interval and rank_multiple_normal_homoscedastic in autorank/_util.py: Tukey's intervals
#                  from the variances of the populations.
# Why it matters:  the path is taken if scores look normal with equal variance, as accuracies of similar PEFT methods
#                  do; real and constant gains are reported as none.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile autorank==1.3.0 scipy==1.17.1 statsmodels==0.15.0
cd "$work"
MPLBACKEND=agg "$work/venv/bin/python" -W ignore - <<'PY'
import contextlib
import io
import sys
from importlib.metadata import version

import numpy as np
import pandas as pd
from autorank import autorank, create_report
from scipy.stats import ttest_rel

random = np.random.default_rng(0)
data_set = random.normal(0.80, 0.05, 20)
scores = pd.DataFrame({name: data_set + gain for name, gain in {"A": 0.02, "B": 0.01, "C": 0.0}.items()})
scores += random.normal(0, 0.001, scores.shape)
result = autorank(scores, alpha=0.05)
with contextlib.redirect_stdout(io.StringIO()) as report:
    create_report(result)
verdict = next(part for part in report.getvalue().split("\n") if "no significant differences" in part)
paired = ttest_rel(scores.A, scores.B).pvalue
print(
    f"autorank {version('autorank')}: {result.omnibus} p {result.pvalue:.0e}, paired t-test of A and B p {paired:.0e}; "
    f"expected three methods told apart, seen: {verdict.strip()}"
)
if not (
    result.omnibus == "anova"
    and result.pvalue < 1e-30
    and paired < 1e-15
    and "no significant differences within the following groups: C and B; B and A" in verdict
):
    sys.exit("changed: constant differences are now found, or another test is chosen")
PY
