#!/usr/bin/env bash
# One would think: a metric fed with logits says the same for one batch of eight as for two batches of four, and AUROC
#                  needs no probabilities, for it only ranks.
# What is so:      each batch decides for itself whether it holds logits: if all of its values lie between 0 and 1 it is
#                  taken for probabilities and left as it is, else it gets a sigmoid. Ranks across batches then mean
#                  nothing, and accuracy has the threshold 0 in one batch and 0.5 in the next.
# Versions:        torchmetrics 1.9.0, torch 2.13.0.
# Source:          normalize_logits_if_needed in torchmetrics/utilities/compute.py, called at each update.
# Why it matters:  early in training, and with small heads, logits are small: a validation metric changes with the
#                  batch size and the order of the examples. Apply the sigmoid before.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile torchmetrics==1.9.0 torch==2.13.0 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import sys

import torch
import torchmetrics
from torchmetrics.classification import BinaryAccuracy, BinaryAUROC

logits = torch.tensor([0.1, 0.2, 0.3, 0.9, -0.5, 0.15, 1.2, 1.5])
targets = torch.tensor([0, 1, 1, 1, 0, 0, 1, 1])


def scores(batch, values):
    seen = {}
    for metric in (BinaryAUROC(), BinaryAccuracy()):
        for start in range(0, len(values), batch):
            metric.update(values[start : start + batch], targets[start : start + batch])
        seen[type(metric).__name__] = round(metric.compute().item(), 3)
    return seen


whole, halves = scores(8, logits), scores(4, logits)
probabilities = [scores(batch, logits.sigmoid()) for batch in (8, 4)]
print(
    f"torchmetrics {torchmetrics.__version__}: expected one result, seen {whole} in one batch, {halves} in two; "
    f"with the sigmoid before {probabilities}"
)
if not (
    probabilities == [whole, whole]
    and abs(whole["BinaryAUROC"] - halves["BinaryAUROC"]) > 0.1
    and abs(whole["BinaryAccuracy"] - halves["BinaryAccuracy"]) > 0.1
):
    sys.exit("changed: the batches no longer decide")
PY
