#!/usr/bin/env bash
# One would think: a PiSSA adapter that was saved and loaded gives the model that was trained, whichever SVD
#                  initialised it.
# What is so:      with "pissa" (a full SVD) it does. With the fast SVD, "pissa_niter_4" of peft's own example, the base's
#                  residual is not saved but computed again at loading, with a randomised SVD that draws from torch's
#                  global generator: it is another residual and does not fit the saved A and B. Here the error is 34 % of
#                  all that training changed, and 14 % with 16 iterations. It is 0 only if the generator stands at loading
#                  as it stood at initialisation. Nothing is raised.
# Versions:        peft 0.21.2, torch 2.13.0, transformers 5.23.0; weights with singular values that fall as one over
#                  the root of their rank.
# Source:          pissa_init in peft/tuners/lora/layer.py calls svd_lowrank without a seed, also when an adapter is
#                  loaded. AdaMSS and PSOFT, which had the same problem, have a random_seed in their configs.
# Why it matters:  scores before saving and after loading differ, and differ again with each load.
#                  Seed before both, or save as a LoRA with path_initial_model_for_weight_conversion.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile torch==2.13.0 transformers==5.23.0 peft==0.21.2
cd "$work"
HF_HUB_OFFLINE=1 "$work/venv/bin/python" -W ignore - <<'PY'
import sys
import tempfile

import peft
import torch
from torch import nn

torch.manual_seed(0)
size = 256
left, right = (torch.linalg.qr(torch.randn(size, size)).Q for _ in range(2))
weight = left * torch.arange(1, size + 1).float().rsqrt() @ right
weight *= size**0.5 / weight.norm()
x, target = torch.randn(64, size), torch.randn(64, size)


def base():
    model = nn.Sequential(nn.Linear(size, size, bias=False))
    model[0].weight.data = weight.clone()
    return model


def error(init, seed):
    """Change of the outputs by saving and loading, over their change by training; the seed is that at loading."""
    torch.manual_seed(1)
    config = peft.LoraConfig(r=16, lora_alpha=16, target_modules=["0"], init_lora_weights=init)
    model = peft.get_peft_model(base(), config)
    optim = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    for _ in range(50):
        optim.zero_grad()
        (model(x) - target).square().mean().backward()
        optim.step()
    with torch.no_grad(), tempfile.TemporaryDirectory() as folder:
        trained, untrained = model(x), base()(x)
        model.save_pretrained(folder)
        loaded_base = base()
        torch.manual_seed(seed)
        loaded = peft.PeftModel.from_pretrained(loaded_base, folder)(x)
    return round(((loaded - trained).norm() / (trained - untrained).norm()).item(), 3)


seen = {init: error(init, seed=2) for init in ("pissa", "pissa_niter_4", "pissa_niter_16")}
print(
    f"peft {peft.__version__}: error of the loaded model over the change by training, expected 0 throughout, seen {seen}"
)
if not (seen["pissa"] < 0.01 and seen["pissa_niter_4"] > 0.1 and seen["pissa_niter_16"] > 0.05):
    sys.exit("changed: an adapter initialised with the fast SVD loads as it was saved")
PY
