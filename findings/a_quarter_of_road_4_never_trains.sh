#!/usr/bin/env bash
# One would think: RoAd's variant road_4 trains all of its parameters, four times as many as road_1.
# What is so:      its angles begin at 0, and half of them stand in a cosine alone, whose slope at 0 is 0: their gradient
#                  is 0 exactly, at every step, with any optimiser. A quarter of the parameters keeps its initial value.
#                  road_1 and road_2 use each angle in a sine as well and train all.
# Versions:        peft 0.21.2, torch 2.13.0, transformers 5.23.0.
# Source:          _prepare_cols in peft/tuners/road/layer.py: theta_cos of road_4 is road_theta[:, 0, :].cos(), and
#                  road_theta[:, 0, :] occurs nowhere else; reset_parameters fills it with zeros.
# Why it matters:  the count of trainable parameters, by which methods are compared, is 4/3 of what trains.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile torch==2.13.0 transformers==5.23.0 peft==0.21.2
cd "$work"
HF_HUB_OFFLINE=1 "$work/venv/bin/python" -W ignore - <<'PY'
import sys

import peft
import torch
from torch import nn


def moved(variant):
    """Trainable parameters, and how many of them differ from their initial values after 200 steps of Adam."""
    torch.manual_seed(0)
    x, target = torch.randn(256, 32), torch.randn(256, 32)
    base = nn.Sequential(nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 32))
    config = peft.RoadConfig(target_modules=["0", "2"], group_size=32, variant=variant)
    model = peft.get_peft_model(base, config)
    adapter = [p for p in model.parameters() if p.requires_grad]
    initial = [p.detach().clone() for p in adapter]
    optim = torch.optim.Adam(adapter, lr=1e-2)
    for _ in range(200):
        optim.zero_grad()
        (model(x) - target).square().mean().backward()
        optim.step()
    return sum(p.numel() for p in adapter), sum(int((p != old).sum()) for p, old in zip(adapter, initial))


seen = {variant: moved(variant) for variant in ("road_1", "road_2", "road_4")}
print(
    f"peft {peft.__version__}: (trainable parameters, those that moved in 200 steps), expected two equal numbers each, "
    f"seen {seen}"
)
if seen != {"road_1": (64, 64), "road_2": (128, 128), "road_4": (256, 192)}:
    sys.exit("changed: all parameters of road_4 move, or there is another number of them")
PY
