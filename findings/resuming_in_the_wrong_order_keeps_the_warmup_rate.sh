#!/usr/bin/env bash
# One would think: at resume one may load the optimiser, make the scheduler and load that, in this order: after two
#                  load_state_dict calls both are as they were saved.
# What is so:      making a scheduler sets the optimiser to the rate of step 0, and loading the scheduler does not set
#                  it back. LinearLR, and a warmup by SequentialLR or ChainedScheduler, go on from the wrong rate by
#                  ratios, so all of the rest of the run has a tenth of its rate (start_factor 0.1). LambdaLR is wrong
#                  for one step. CosineAnnealingLR and ExponentialLR happen to be right, so code tried with these
#                  breaks once a warmup is added. With the scheduler made first and both loaded then, all are right.
# Versions:        torch 2.13.0.
# Source:          LRScheduler.__init__ in torch/optim/lr_scheduler.py takes a first step; load_state_dict copies
#                  attributes of the scheduler alone. Upstream has a report for the cosine, of an earlier version.
# Why it matters:  a preempted run goes on with a tenth of the rate, without a message, and get_last_lr() agrees with
#                  it after one step.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile torch==2.13.0
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import copy
import sys

import torch
from torch.optim import lr_scheduler as lrs

makers = {
    "LinearLR": lambda o: lrs.LinearLR(o, 0.1, total_iters=5),
    "warmup, cosine": lambda o: lrs.SequentialLR(
        o, [lrs.LinearLR(o, 0.1, total_iters=5), lrs.CosineAnnealingLR(o, 25)], [5]
    ),
    "warmup * cosine": lambda o: lrs.ChainedScheduler(
        [lrs.LinearLR(o, 0.1, total_iters=5), lrs.CosineAnnealingLR(o, 30)]
    ),
    "LambdaLR": lambda o: lrs.LambdaLR(o, lambda step: 1 / (1 + step)),
    "cosine": lambda o: lrs.CosineAnnealingLR(o, 30),
    "exponential": lambda o: lrs.ExponentialLR(o, 0.9),
}


def optimizer():
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)


def rates(made, scheduler, steps):
    seen = []
    for _ in range(steps):
        seen.append(made.param_groups[0]["lr"])
        made.step()
        scheduler.step()
    return seen


def ratios(make, loaded_first):
    """Rates after a resume at step 10, as parts of those of a run that was not interrupted: next, and ten steps on."""
    made = optimizer()
    scheduler = make(made)
    rates(made, scheduler, 10)
    saved = copy.deepcopy((made.state_dict(), scheduler.state_dict()))
    whole = rates(made, scheduler, 11)
    made = optimizer()
    if loaded_first:
        made.load_state_dict(saved[0])
        scheduler = make(made)
    else:
        scheduler = make(made)
        made.load_state_dict(saved[0])
    scheduler.load_state_dict(saved[1])
    resumed = rates(made, scheduler, 11)
    return [round(resumed[i] / whole[i], 2) for i in (0, 10)]


seen = {name: ratios(make, True) for name, make in makers.items()}
made_first = {name: ratios(make, False) for name, make in makers.items()}
print(
    f"torch {torch.__version__}: rate at resume and ten steps later, divided by that of a run without a break; "
    f"expected [1.0, 1.0], seen {seen}; all right if the scheduler is made before the optimiser is loaded: "
    f"{all(ratio == [1.0, 1.0] for ratio in made_first.values())}"
)
wrong = all(max(seen[name]) < 0.2 for name in ("LinearLR", "warmup, cosine", "warmup * cosine"))
right = seen["cosine"] == seen["exponential"] == [1.0, 1.0] and seen["LambdaLR"] == [11.0, 1.0]
if not (wrong and right and all(ratio == [1.0, 1.0] for ratio in made_first.values())):
    sys.exit("changed: the order no longer matters, or the cosine is wrong too")
PY
