#!/usr/bin/env bash
# One would think: a parameter group whose learning rate is set to 0 stands still in Prodigy. 0 is the one value by
#                  which its groups may differ.
# What is so:      the group keeps its last momentum and takes the same step for ever, at full rate. Here its weights
#                  move by 0.4 % of their length a step, in a straight line, until the end of the run. A group that has
#                  rate 0 from the start has no momentum, but decays as the others do: here it is 0 after 300 steps.
# Versions:        prodigyopt 1.1.2, torch 2.13.0.
# Source:          prodigyopt/prodigy.py: with rate 0 exp_avg is not updated, so it does not decay. The step and the
#                  decay are multiplied by dlr, which is made from the largest rate of all groups.
# Why it matters:  rates of 0 freeze the backbone or an adapter for a phase of training. Frozen weights then walk away
#                  from where they were, and the later phase is trained on a model that gets worse by itself. Frozen by
#                  requires_grad_(False), with the gradient None, they stand still.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile torch==2.13.0 prodigyopt==1.1.2 numpy
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import contextlib
import io
import sys
from importlib.metadata import version

import torch
from prodigyopt import Prodigy
from torch import nn

torch.manual_seed(0)
x, y = torch.randn(64, 8), torch.randn(64, 8)


def frozen_after(steps, make, decay=0.0):
    """How far a group moves within 100, 200 and 300 steps of rate 0, over its length, after steps of training."""
    torch.manual_seed(1)
    first, second = nn.Linear(8, 8), nn.Linear(8, 8)
    groups = [{"params": part.parameters(), "weight_decay": decay} for part in (first, second)]
    with contextlib.redirect_stdout(io.StringIO()):
        optimizer = make(groups)
    rows = []
    for step in range(steps + 300):
        if step == steps:
            optimizer.param_groups[0]["lr"] = 0.0
            start = first.weight.detach().clone()
        optimizer.zero_grad()
        (second(torch.tanh(first(x))) - y).square().mean().backward()
        optimizer.step()
        if step >= steps and (step - steps + 1) % 100 == 0:
            rows.append(round(((first.weight - start).norm() / start.norm()).item(), 4))
    return rows


seen = {
    "AdamW": frozen_after(100, lambda groups: torch.optim.AdamW(groups, lr=0.01)),
    "Prodigy": frozen_after(100, lambda groups: Prodigy(groups, lr=1.0)),
    "Prodigy, frozen from the start": frozen_after(0, lambda groups: Prodigy(groups, lr=1.0)),
    "Prodigy, frozen from the start, decay 0.1": frozen_after(0, lambda groups: Prodigy(groups, lr=1.0), 0.1),
}
print(
    f"prodigyopt {version('prodigyopt')}, torch {torch.__version__}: distance moved by a group at rate 0 within 100, "
    f"200 and 300 steps over the length of its weights, expected 0.0 throughout, seen {seen}"
)
walk, decayed = seen["Prodigy"], seen["Prodigy, frozen from the start, decay 0.1"]
if (
    any(seen["AdamW"] + seen["Prodigy, frozen from the start"])
    or walk[0] < 0.1
    or abs(walk[2] / walk[0] - 3) > 0.05
    or decayed[2] < 0.5
):
    sys.exit("changed: a group at rate 0 stands still")
PY
