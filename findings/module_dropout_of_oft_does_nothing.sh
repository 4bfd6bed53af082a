#!/usr/bin/env bash
# One would think: module_dropout of OFT switches blocks of the rotation off during training, as its documentation says.
# What is so:      the layer for it is built and never called. At module_dropout=0.9 the outputs in train mode are those
#                  of eval mode, and training gives the same weights as without dropout, bit for bit. BOFT's dropout
#                  works.
# Versions:        peft 0.21.2, torch 2.13.0, transformers 5.23.0.
# Source:          oft_dropout in peft/tuners/oft/layer.py: update_layer fills it, no forward reads it; boft/layer.py
#                  reads its own.
# Why it matters:  a sweep over this option compares one run with itself: "OFT does not profit from dropout".
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


def trained(config):
    """Trained adapter weights, and the largest difference between outputs of train and eval mode."""
    torch.manual_seed(0)
    x, target = torch.randn(32, 32), torch.randn(32, 32)
    model = peft.get_peft_model(nn.Sequential(nn.Linear(32, 32)), config).train()
    adapter = [p for p in model.parameters() if p.requires_grad]
    optim = torch.optim.Adam(adapter, lr=1e-2)
    for step in range(50):
        torch.manual_seed(step)
        optim.zero_grad()
        (model(x) - target).square().mean().backward()
        optim.step()
    with torch.no_grad():
        gap = (model.train()(x) - model.eval()(x)).abs().max().item()
    return torch.cat([p.detach().flatten() for p in adapter]), gap


def change(make):
    """Change of the trained weights by a dropout of 0.9, and the gap between train and eval mode under it."""
    (without, _), (with_dropout, gap) = trained(make(0.0)), trained(make(0.9))
    return round((with_dropout - without).abs().max().item(), 4), round(gap, 4)


seen = {
    "OFT": change(lambda p: peft.OFTConfig(target_modules=["0"], oft_block_size=4, module_dropout=p)),
    "BOFT": change(lambda p: peft.BOFTConfig(target_modules=["0"], boft_block_size=4, boft_dropout=p)),
}
print(
    f"peft {peft.__version__}: (change of the trained weights by a dropout of 0.9, gap between outputs of train and eval "
    f"mode), expected both above 0, seen {seen}"
)
if not (seen["OFT"] == (0, 0) and min(seen["BOFT"]) > 0.01):
    sys.exit("changed: OFT's module_dropout has an effect, or BOFT's has none")
PY
