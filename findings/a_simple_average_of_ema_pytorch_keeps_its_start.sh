#!/usr/bin/env bash
# One would think: with power=1 and inv_gamma=1 an EMA of ema-pytorch is a simple average, as its documentation says:
#                  each model since update_after_step counts the same.
# What is so:      only with update_every=1. With the default, 10, half of the average is the single model of step 100
#                  after 10,000 steps: the average of 101 ... 10100 is 1009, not 5100.
# Versions:        ema-pytorch 0.8.3, torch 2.13.0.
# Source:          ema_pytorch/ema_pytorch.py: get_current_decay counts steps, 1 - 1 / (1 + steps), but is applied once
#                  in update_every steps. The start is left with a weight near n ** -0.1 after n updates, where a simple
#                  average leaves it 1 / n. The default power, 2/3, forgets as much more slowly.
# Why it matters:  the averaged model is the one that is scored. It lags behind by most of the run, so averaging
#                  seems to hurt.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile torch==2.13.0 ema-pytorch==0.8.3 numpy
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import sys
from importlib.metadata import version

import torch
from ema_pytorch import EMA
from torch import nn


@torch.no_grad()
def average(values, **options):
    """The average that a weight with these values ends with."""
    model = nn.Linear(1, 1)
    ema = EMA(model, beta=0.9999999, inv_gamma=1.0, update_after_step=100, **options)
    for value in values:
        model.weight.fill_(float(value))
        ema.update()
    return ema.ema_model.weight.item()


counted = range(1, 10101)
start = [float(step <= 101) for step in counted]  # the step that the average starts from, and nothing after it
seen = {}
for every in (1, 10):
    for power in (1.0, 2 / 3):
        options = {"update_every": every, "power": power}
        seen[f"update_every={every}, power={power:.2f}"] = (
            round(average(counted, **options)),
            round(average(start, **options), 4),
        )
print(
    f"ema-pytorch {version('ema-pytorch')}: (average of 101 ... 10100, weight of its start), expected for power=1.00 "
    f"(5100, at most 0.001), seen {seen}"
)
if not (
    abs(seen["update_every=1, power=1.00"][0] - 5100) < 2
    and seen["update_every=1, power=1.00"][1] < 0.001
    and seen["update_every=10, power=1.00"][0] < 1500
    and seen["update_every=10, power=1.00"][1] > 0.4
):
    sys.exit("changed: the average does not depend on update_every")
PY
