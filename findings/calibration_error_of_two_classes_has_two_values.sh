#!/usr/bin/env bash
# One would think: the expected calibration error of a binary classifier is the same, given as one probability (binary)
#                  or as two (multiclass, num_classes=2), as accuracy and cross entropy are.
# What is so:      they are different quantities. Binary bins the probability of class 1 against how often class 1 is
#                  the truth; multiclass bins the larger probability against how often it is right. A model that says
#                  0.6 for each of two kinds of examples, one of them at the other end (0.4), can have an error of 0.2
#                  in one and of 0 in the other.
# Versions:        torchmetrics 1.9.0, torch 2.13.0.
# Source:          _binary_calibration_error_update and _multiclass_calibration_error_update in
#                  torchmetrics/functional/classification/calibration_error.py.
# Why it matters:  papers on calibrated fine-tuning report "ECE" for SST-2 or BoolQ from either; overconfidence for one
#                  class and underconfidence for the other cancel in the multiclass form.
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
from torchmetrics.functional.classification import binary_calibration_error, multiclass_calibration_error

# 10 examples at 0.6 for class 1, 8 of them of class 1; 10 at 0.4, 6 of them of class 1.
positive = torch.tensor([0.6] * 10 + [0.4] * 10)
targets = torch.tensor([1] * 8 + [0] * 2 + [1] * 6 + [0] * 4)
binary = binary_calibration_error(positive, targets).item()
multiclass = multiclass_calibration_error(torch.stack([1 - positive, positive], 1), targets, num_classes=2).item()
print(
    f"torchmetrics {torchmetrics.__version__}: calibration error, expected one number, seen binary {binary:.3f}, "
    f"multiclass {multiclass:.3f}"
)
if not (abs(binary - 0.2) < 1e-3 and multiclass < 1e-3):
    sys.exit("changed: the two forms agree, or have other values")
PY
