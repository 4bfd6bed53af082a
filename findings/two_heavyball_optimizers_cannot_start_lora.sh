#!/usr/bin/env bash
# One would think: an optimiser for any parameters trains LoRA, if well or badly.
# What is so:      LoRA begins with B = 0, so A's first gradient is 0. heavyball's ADOPT divides a gradient by the root of
#                  the squares before it: A's second gradient is divided by eps, 1e-8, the loss grows a thousandfold and
#                  more within three steps, and then is NaN. HyperBallAdamW keeps each matrix at the norm that it began
#                  with: B stays 0, A never has a gradient, and the loss stays the base's at any rate. Nothing is raised.
#                  AdamW, Muon and SOAP of the same library train.
# Versions:        heavyball 3.2.1, peft 0.21.2, torch 2.13.0, transformers 5.23.0.
# Source:          _fused_compilable_adopt_ (without the clipping that ADOPT's authors added) and _compilable_hyperball_
#                  in heavyball/utils.py. That HyperBall keeps norms is documented; that zero is one of them is not said.
# Why it matters:  a comparison of optimisers on LoRA ranks these last for a reason that has nothing to do with the task;
#                  the second one looks like a rate that is too low. Every matrix that begins at zero is affected.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile torch==2.13.0 transformers==5.23.0 peft==0.21.2 heavyball==3.2.1
cd "$work"
HF_HUB_OFFLINE=1 "$work/venv/bin/python" -W ignore - <<'PY'
import importlib.metadata
import math
import sys

import heavyball
import peft
import torch
from torch import nn

heavyball.utils.compile_mode = None  # the same steps, without a compiler


def losses(name, steps=100):
    """Loss after 0, 3 and all steps."""
    torch.manual_seed(0)
    x, target = torch.randn(64, 16), torch.randn(64, 16)
    base = nn.Sequential(nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 16))
    model = peft.get_peft_model(base, peft.LoraConfig(r=4, target_modules=["0", "2"]))
    optim = getattr(heavyball, name)([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    rows = []
    for _ in range(steps + 1):
        optim.zero_grad()
        loss = (model(x) - target).square().mean()
        rows.append(round(loss.item(), 3))
        loss.backward()
        optim.step()
    return [rows[0], rows[3], rows[-1]]


seen = {name: losses(name) for name in ("AdamW", "Muon", "SOAP", "ADOPT", "HyperBallAdamW")}
print(
    f"heavyball {importlib.metadata.version('heavyball')}, peft {peft.__version__}: loss of LoRA after 0, 3 and 100 steps, "
    f"expected to fall, seen {seen}"
)
falls = all(seen[name][2] < 0.8 * seen[name][0] for name in ("AdamW", "Muon", "SOAP"))
explodes = seen["ADOPT"][1] > 1000 * seen["ADOPT"][0] and math.isnan(seen["ADOPT"][2])
if not (falls and explodes and len(set(seen["HyperBallAdamW"])) == 1):
    sys.exit("changed: ADOPT or HyperBallAdamW trains LoRA, or another one does not")
PY
