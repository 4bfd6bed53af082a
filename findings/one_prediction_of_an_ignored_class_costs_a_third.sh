#!/usr/bin/env bash
# One would think: a class named in ignore_index is left out of a macro average.
# What is so:      its targets are left out, and its score is 0. While nothing is predicted as it, the mean is over the
#                  other classes; from the first such prediction on it is over all, the ignored class's 0 among them.
#                  With three classes, one ignored, one miss of twenty takes macro F1 from 1.00 to 0.65; the same miss
#                  to another class takes it to 0.95. So for macro accuracy (the default of MulticlassAccuracy),
#                  precision and recall; the Jaccard index leaves the class out.
# Versions:        torchmetrics 1.9.0, scikit-learn 1.9.1, torch 2.13.0.
# Source:          _adjust_weights_safe_divide in torchmetrics/utilities/compute.py drops a class from the mean if it
#                  has no true positive, false positive and false negative; it does not know ignore_index, which is
#                  documented as a value that does not contribute to the metric.
# Why it matters:  taggers are scored without the class O, stance and sentiment without "neutral" or "none". The best
#                  possible macro F1 of k classes is then (k - 1) / k as soon as one example is missed this way: a
#                  method with a single such error loses to one with many errors of another kind.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile torch==2.13.0 torchmetrics==1.9.0 scikit-learn==1.9.1
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import sys

import torch
import torchmetrics
from sklearn.metrics import f1_score
from torchmetrics.classification import (
    MulticlassAccuracy,
    MulticlassF1Score,
    MulticlassJaccardIndex,
    MulticlassPrecision,
    MulticlassRecall,
)

target = torch.tensor([0] * 10 + [1] * 10 + [2] * 10)
predictions = {"no miss": target.clone(), "one 1 as 0": target.clone(), "one 1 as 2": target.clone()}
predictions["one 1 as 0"][10] = 0
predictions["one 1 as 2"][10] = 2
metrics = (MulticlassF1Score, MulticlassAccuracy, MulticlassPrecision, MulticlassRecall, MulticlassJaccardIndex)
seen = {}
for name, preds in predictions.items():
    seen[name] = {
        metric.__name__.removeprefix("Multiclass"): round(
            metric(num_classes=3, average="macro", ignore_index=0)(preds, target).item(), 2
        )
        for metric in metrics
    }
    kept = target != 0
    f1 = f1_score(target[kept], preds[kept], labels=[1, 2], average="macro")
    seen[name]["scikit-learn's F1"] = round(float(f1), 2)
print(
    f"torchmetrics {torchmetrics.__version__}: macro averages of classes 0, 1, 2 with ignore_index=0; expected about "
    "0.95 for one miss of twenty, seen:"
)
for name, scores in seen.items():
    print(f"  {name}: {scores}")
counted = ("F1Score", "Accuracy", "Precision", "Recall")
if not (
    all(score == 1 for score in seen["no miss"].values())
    and all(seen["one 1 as 0"][name] < 0.7 for name in counted)
    and all(seen["one 1 as 2"][name] >= 0.94 for name in counted)
    and seen["one 1 as 0"]["JaccardIndex"] == 0.95
    and seen["one 1 as 0"]["scikit-learn's F1"] > 0.95
):
    sys.exit("changed: macro averages leave the ignored class out")
PY
