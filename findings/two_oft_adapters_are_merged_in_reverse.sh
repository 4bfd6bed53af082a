#!/usr/bin/env bash
# One would think: a merge of two active OFT adapters gives the model that the two compute when they are active.
# What is so:      active, the first one listed rotates the input first. Merged, the last one listed does. Rotations do
#                  not commute, so the merged model is another one: here its update is about as far away as it is long.
#                  HRA and BOFT, which rotate as well, merge in the order that they compute in.
# Versions:        peft 0.21.2, torch 2.13.0, transformers 5.23.0.
# Source:          peft/tuners/oft/layer.py: forward applies each rotation to x in turn; merge multiplies each from the
#                  left to the transposed weight, so the first one merged ends up nearest to the weight.
# Why it matters:  two adapters are validated as they are active, and merged for use, and the second model was never
#                  scored. Merging them in the order [second, first] gives the model that was.
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


@torch.no_grad()
def apart(make):
    """Distance of the merged model from two active adapters, over the size of their update: as active, and reversed."""
    torch.manual_seed(0)
    base, x = nn.Sequential(nn.Linear(32, 32, bias=False)), torch.randn(64, 32)
    plain = base(x)
    model = peft.get_peft_model(base, make())
    model.add_adapter("second", make())
    for key, parameter in model.named_parameters():
        if ".default" in key or ".second" in key:
            parameter.add_(0.3 * torch.randn_like(parameter))
    model.base_model.set_adapter(["default", "second"])
    active = model(x)
    rows = []
    for names in (["default", "second"], ["second", "default"]):
        model.merge_adapter(names)
        rows.append(round(((model(x) - active).norm() / (active - plain).norm()).item(), 2))
        model.unmerge_adapter()
    return rows


seen = {
    "HRA": apart(lambda: peft.HRAConfig(r=4, target_modules=["0"])),
    "BOFT": apart(lambda: peft.BOFTConfig(boft_block_size=8, target_modules=["0"])),
    "OFT": apart(lambda: peft.OFTConfig(oft_block_size=8, target_modules=["0"])),
}
print(
    f"peft {peft.__version__}: distance of the merged model from two active adapters over their update: [merged in the "
    f"active order, in reverse], expected 0.0 first, seen {seen}"
)
if seen["HRA"][0] or seen["BOFT"][0] or seen["OFT"][1] or seen["OFT"][0] < 0.2:
    sys.exit("changed: OFT merges in the order that it computes in, or the others do not")
PY
