#!/usr/bin/env bash
# One would think: LoRA+ gives the matrices B a higher rate, and everything else (A, the head, trained norms) the
#                  plain one.
# What is so:      every one-dimensional weight has B's rate too: norms, biases, DoRA's magnitudes. A classification
#                  head trains its weight at the plain rate and its bias at 16 times that. Of these only biases and
#                  nn.LayerNorm escape the weight decay: RMSNorm's gains and DoRA's magnitudes are pulled to 0.
# Versions:        peft 0.21.2, torch 2.13.0, transformers 5.23.0.
# Source:          create_loraplus_optimizer in peft/optimizers/loraplus.py sorts by name and by ndim == 1.
# Why it matters:  "LoRA+ with tuned norms" or "DoRA with LoRA+" trains the norms or magnitudes 16 times faster than
#                  LoRA does: the comparison is then one of rates, not of methods.
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
from peft.optimizers import create_loraplus_optimizer
from torch import nn


class RMSNorm(nn.Module):
    """The RMSNorm of Llama: a gain, no bias, not a torch class."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(8))

    def forward(self, x):
        return self.weight * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)


base = nn.Sequential()
base.add_module("proj", nn.Linear(8, 8, bias=False))
base.add_module("norm", RMSNorm())
base.add_module("head", nn.Linear(8, 2))
config = peft.LoraConfig(r=2, target_modules=["proj"], modules_to_save=["norm", "head"], use_dora=True)
model = peft.get_peft_model(base, config)
optimizer = create_loraplus_optimizer(
    model, torch.optim.AdamW, lr=1e-4, loraplus_lr_ratio=16, loraplus_weight_decay=0.1
)
groups = {id(p): group for group in optimizer.param_groups for p in group["params"]}
names = {
    "A": "lora_A",
    "B": "lora_B",
    "magnitude": "magnitude",
    "norm": "norm.modules",
    "head.weight": "head.modules_to_save.default.weight",
}
names["head.bias"] = "head.modules_to_save.default.bias"
seen = {}
for short, part in names.items():
    (group,) = [groups[id(p)] for name, p in model.named_parameters() if part in name and p.requires_grad]
    seen[short] = (round(group["lr"] / 1e-4), group["weight_decay"])
print(f"peft {peft.__version__}: (rate over the plain one, decay), expected 16 for B alone, seen {seen}")
expected = {
    "A": (1, 0.1),
    "B": (16, 0.1),
    "magnitude": (16, 0.1),
    "norm": (16, 0.1),
    "head.weight": (1, 0.1),
    "head.bias": (16, 0.0),
}
if seen != expected:
    sys.exit("changed: one-dimensional weights no longer share B's rate, or the decay differs")
PY
