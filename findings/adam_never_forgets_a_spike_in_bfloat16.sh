#!/usr/bin/env bash
# One would think: with parameters in bfloat16 Adam's second moment is coarse, but decays: after one large gradient the
#                  steps are back to size once some thousand steps are done.
# What is so:      with the default beta2 of 0.999 it does not decay at all: 0.999 times a number rounds to that number.
#                  One gradient a hundred times the usual at the first step, and the steps stay at a third of their size
#                  for ever. In float32 they have recovered after 6,000 steps, and in bfloat16 with beta2 = 0.95.
# Versions:        torch 2.13.0 on a CPU, plain and fused AdamW.
# Source:          AdamW keeps its state in the parameter's type (torch/optim/adam.py); bfloat16 has 8 significant
#                  bits, so numbers next to each other differ by 0.4 to 0.8 per cent.
# Why it matters:  a model loaded in bfloat16 and tuned as it is (norms, biases, full tuning; LoRA of peft is float32)
#                  trains at a rate set by its worst early gradient, and a higher rate seems to be what it needs.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile torch==2.13.0 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import sys

import torch


def last_step(dtype, beta2, fused):
    """The size of step 6,000 over the learning rate; 1 for a constant gradient without the spike at the start."""
    parameter = torch.nn.Parameter(torch.zeros(4, dtype=dtype))
    optimizer = torch.optim.AdamW([parameter], lr=1e-3, betas=(0.9, beta2), weight_decay=0, fused=fused)
    for step in range(6000):
        parameter.grad = torch.full_like(parameter, 1.0 if step == 0 else 0.01)
        optimizer.step()
    state = optimizer.state[parameter]
    return round((state["exp_avg"][0].double() / state["exp_avg_sq"][0].double().sqrt()).item(), 2)


seen = {
    (str(dtype).removeprefix("torch."), beta2, "fused" if fused else "plain"): last_step(dtype, beta2, fused)
    for dtype, beta2 in ((torch.float32, 0.999), (torch.bfloat16, 0.999), (torch.bfloat16, 0.95))
    for fused in (False, True)
}
print(f"torch {torch.__version__}: last step over the rate, expected about 1 for all, seen {seen}")
if not all(
    value < 0.4 if dtype == "bfloat16" and beta2 == 0.999 else 0.8 < value < 1.2
    for (dtype, beta2, _), value in seen.items()
):
    sys.exit("changed: the second moment now decays in bfloat16, or no longer elsewhere")
PY
