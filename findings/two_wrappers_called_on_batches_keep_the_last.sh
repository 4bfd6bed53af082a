#!/usr/bin/env bash
# One would think: a metric in BootStrapper or MinMaxMetric collects all batches, whether it is called on them, as
#                  Lightning does it, or updated.
# What is so:      a call throws away what was collected before. compute() then gives the value of the last batch alone,
#                  and the standard error that belongs to one batch. MinMaxMetric also counts each batch as a value: its
#                  max is that of the best batch. Updated, both are right; so are plain metrics and Running when called.
# Versions:        torchmetrics 1.9.0, torch 2.13.0.
# Source:          forward of torchmetrics/wrappers/bootstrapping.py and minmax.py calls Metric.forward, which saves and
#                  restores the states of the wrapper; its reset() also resets the wrapped metric, whose states nobody
#                  restores.
# Why it matters:  self.metric(predictions, targets) with self.log("accuracy", self.metric) is the documented way in
#                  Lightning. The epoch is then reported as its last, often smaller batch, with an error bar several
#                  times too wide.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile torch==2.13.0 torchmetrics==1.9.0
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import sys

import torch
import torchmetrics
from torchmetrics.classification import BinaryAccuracy
from torchmetrics.wrappers import BootStrapper, MinMaxMetric

torch.manual_seed(0)
torch.set_num_threads(1)
right = torch.cat([torch.arange(900) % 10 < 8, torch.arange(100) % 10 < 5])  # 0.8 in nine batches, 0.5 in the last
batches = list(zip(right.long().split(100), torch.ones(1000, dtype=torch.long).split(100), strict=True))


def after(metric, how):
    for batch in batches:
        getattr(metric, how)(*batch)
    return {name: round(float(value), 3) for name, value in metric.compute().items()}


seen = {how: after(BootStrapper(BinaryAccuracy(), num_bootstraps=40), how) for how in ("update", "forward")}
ends = {how: after(MinMaxMetric(BinaryAccuracy()), how) for how in ("update", "forward")}
print(
    f"torchmetrics {torchmetrics.__version__}: accuracy 0.8 in nine batches of 100, 0.5 in the tenth, 0.77 in all, "
    f"standard error 0.013. BootStrapper: {seen}; MinMaxMetric: {ends}"
)
near = abs(seen["update"]["mean"] - 0.77) < 0.01 and abs(seen["forward"]["mean"] - 0.5) < 0.03
wide = 0.010 < seen["update"]["std"] < 0.018 and 0.035 < seen["forward"]["std"] < 0.07
if not (near and wide and ends["update"]["raw"] == 0.77 and ends["forward"] == {"raw": 0.5, "max": 0.8, "min": 0.5}):
    sys.exit("changed: a called wrapper keeps all batches")
PY
