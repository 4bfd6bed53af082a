#!/usr/bin/env bash
# One would think: OSF keeps the largest singular directions of a weight: its update is orthogonal to them, as the
#                  documentation says, whichever optimiser trains.
# What is so:      it projects gradients, not steps. SGD's steps stay in the subspace, with momentum too. Adam divides
#                  each element by its own root, which turns a step out of the subspace: with AdamW, which the
#                  documentation's example uses, a tenth to a third of the update lies in the protected directions here.
# Versions:        peft 0.21.2, torch 2.13.0, transformers 5.23.0.
# Source:          _attach_hooks in peft/tuners/osf/layer.py registers the projection on the gradients of U_low and
#                  V_low.
# Why it matters:  OSF is for learning tasks one after another without forgetting. The protection that distinguishes it
#                  from full tuning is lost in part, and more of it the longer a task is trained. Nothing is logged.
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


def share(optimizer, **options):
    """Share of the update after 100 steps that lies in the protected directions: on the output's side, the input's."""
    torch.manual_seed(0)
    base, x, target = nn.Sequential(nn.Linear(32, 32)), torch.randn(256, 32), torch.randn(256, 32)
    left, _, right = torch.linalg.svd(base[0].weight.detach())
    model = peft.get_peft_model(base, peft.OSFConfig(target_modules=["0"], effective_rank=8))
    optim = optimizer([p for p in model.parameters() if p.requires_grad], **options)
    for _ in range(100):
        optim.zero_grad()
        (model(x) - target).square().mean().backward()
        optim.step()
    update = model.base_model.model[0].get_delta_weight("default").detach()
    protected = left[:, :8].T @ update, update @ right[:8].T
    return [round((part.norm() / update.norm()).item(), 2) for part in protected]


seen = {
    "SGD": share(torch.optim.SGD, lr=1.0),
    "SGD with momentum": share(torch.optim.SGD, lr=0.3, momentum=0.9),
    "AdamW, 1e-3": share(torch.optim.AdamW, lr=1e-3),
    "AdamW, 1e-2": share(torch.optim.AdamW, lr=1e-2),
}
print(
    f"peft {peft.__version__}: share of the update in the 8 protected directions of 32: [output, input], expected "
    f"[0.0, 0.0] throughout, seen {seen}"
)
outside = [max(seen[name]) for name in seen if name.startswith("SGD")]
if max(outside) > 0 or min(seen["AdamW, 1e-3"]) < 0.05 or min(seen["AdamW, 1e-2"]) < 0.2:
    sys.exit("changed: Adam's steps are projected, or SGD's are not")
PY
