#!/usr/bin/env bash
# One would think: a parameter that is unfrozen late starts in a schedule-free AdamW as it would in a new optimiser: its
#                  first step is one learning rate long, and its average is one of its steps.
# What is so:      unfrozen at step 1000, its first step is 25 learning rates long (31 in longer runs), and its average
#                  counts the 1000 steps that it missed, at its initial value: after 100 steps nine tenths of what is
#                  evaluated and saved are the start.
# Versions:        schedulefree 1.4.1, torch 2.13.0.
# Source:          schedulefree/adamw_schedulefree.py: the sum of the averages' weights, and the step by which Adam's
#                  second moment is corrected, are kept by group; the two moments begin with a parameter's first
#                  gradient. AdamW of torch keeps the step by parameter.
# Why it matters:  gradual unfreezing, and adapters that are trained in turn by one optimiser. A parameter group that is
#                  added at that step (add_param_group) begins anew, and is right.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile torch==2.13.0 schedulefree==1.4.1 numpy
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import sys
from importlib.metadata import version

import torch
from schedulefree import AdamWScheduleFree
from torch import nn

LATE, CHECKS, RATE = 1000, (100, 300, 1000), 0.001


def unfreeze(added=False):
    """First step over the learning rate, and the average over the mean of the trained values, 100 ... steps later."""
    early, late = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
    optimizer = AdamWScheduleFree([early] if added else [early, late], lr=RATE)
    optimizer.train()
    values, averages = [], []
    for step in range(LATE + CHECKS[-1]):
        if added and step == LATE:
            optimizer.add_param_group({"params": [late], "train_mode": True})
        early.grad = -torch.ones(1)
        late.grad = -torch.ones(1) if step >= LATE else None
        optimizer.step()
        if step >= LATE:
            values.append(optimizer.state[late]["z"].item())
        if len(values) in CHECKS:
            optimizer.eval()
            averages.append(round(late.item() / (sum(values) / len(values)), 2))
            optimizer.train()
    return round(values[0] / RATE, 1), averages


early, late = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
adamw = torch.optim.AdamW([early, late], lr=RATE)
for step in range(LATE + 1):
    early.grad, late.grad = torch.ones(1), torch.ones(1) if step == LATE else None
    adamw.step()
seen = {
    "AdamW of torch": round(-late.item() / RATE, 1),
    "schedule-free, group added at the step": unfreeze(added=True),
    "schedule-free, one group": unfreeze(),
}
print(
    f"schedulefree {version('schedulefree')}, torch {torch.__version__}: (first step over the learning rate, average "
    f"over the mean of the trained values after {CHECKS} steps) of a parameter unfrozen at step {LATE}, expected (1.0, "
    f"[1.0, 1.0, 1.0]), seen {seen}"
)
shares = [round(steps / (LATE + steps), 2) for steps in CHECKS]
first = round(((1 - 0.999 ** (LATE + 1)) / (1 - 0.999)) ** 0.5, 1)
if list(seen.values()) != [1.0, (1.0, [1.0, 1.0, 1.0]), (first, shares)] or first < 20:
    sys.exit("changed: a parameter that is unfrozen late starts as in a new optimiser, or otherwise than stated")
PY
