#!/usr/bin/env bash
# One would think: MetricCollection shares one state between metrics that would always hold the same state (compute
#                  groups are a saving of time), so accuracy with and without ignore_index stay apart.
# What is so:      it compares the states after the first batch alone. If they happen to be equal, say because the
#                  first batch has no label to ignore, the metrics are one from then on and the second returns the
#                  first's value.
# Versions:        torchmetrics 1.9.0, torch 2.13.0.
# Source:          _merge_compute_groups and _equal_metric_states in torchmetrics/collections.py.
# Why it matters:  token accuracy with and without a label, or at two thresholds, is silently wrong for the epochs
#                  whose first batch does not tell them apart; it depends on the order of the data.
#                  compute_groups=False mends it.
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
from torchmetrics.classification import MulticlassAccuracy

# Label 0 is to be ignored. The first batch has none.
batches = [([1, 2, 1, 1], [1, 2, 2, 1]), ([0, 0, 0, 1], [0, 0, 0, 2])]


def scores(batches, **options):
    collection = torchmetrics.MetricCollection(
        {
            "all": MulticlassAccuracy(num_classes=3, average="micro"),
            "without 0": MulticlassAccuracy(num_classes=3, average="micro", ignore_index=0),
        },
        **options,
    )
    for predictions, targets in batches:
        collection.update(torch.tensor(predictions), torch.tensor(targets))
    return {name: round(value.item(), 2) for name, value in collection.compute().items()}


apart = scores(batches, compute_groups=False)
seen = scores(batches)
swapped = scores(batches[::-1])
print(
    f"torchmetrics {torchmetrics.__version__}: expected {apart} (each metric by itself), seen {seen}, "
    f"and {swapped} with the two batches swapped"
)
if not (apart == swapped == {"all": 0.75, "without 0": 0.6} and seen == {"all": 0.75, "without 0": 0.75}):
    sys.exit("changed: the two metrics are kept apart, or the numbers differ")
PY
