#!/usr/bin/env bash
# One would think: freeze() of optimum-quanto leaves the weights that it freezes untrainable, all the more if they did not
#                  require gradients before.
# What is so:      it puts each quantised weight into a new nn.Parameter, which requires gradients. Backward computes
#                  gradients for the whole base, clipping counts them, AdamW keeps two moments for them - and no step
#                  moves them, since a step changes a dequantised copy.
# Versions:        optimum-quanto 0.2.7 (int8 weights), torch 2.13.0.
# Source:          QModuleMixin.freeze in optimum/quanto/nn/qmodule.py: self.weight = torch.nn.Parameter(qweight).
# Why it matters:  tuning norms or adapters alone on such a model reports all weights as trainable, takes the memory and
#                  time of full tuning, and gradient clipping shrinks the adapter's gradients by the base's norm: here to
#                  a seventh. Set requires_grad after freeze(), or wrap the model with peft after it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile torch==2.13.0 numpy==2.4.6 optimum-quanto==0.2.7
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import importlib.metadata
import sys

import torch
from optimum.quanto import freeze, qint8, quantize
from torch import nn

torch.manual_seed(0)
model = nn.Sequential(nn.Linear(16, 16), nn.LayerNorm(16), nn.Linear(16, 4)).requires_grad_(False)
model[1].requires_grad_(True)


def trainable():
    return [name for name, p in model.named_parameters() if p.requires_grad]


before = trainable()
quantize(model, weights=qint8)
freeze(model)
after = trainable()

weights = {name: model.get_parameter(name).dequantize().clone() for name in after if name not in before}
optim = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.1)
model(torch.randn(8, 16)).square().mean().backward()
norm = model[1].weight.grad.norm().item()
torch.nn.utils.clip_grad_norm_([p for p in model.parameters() if p.requires_grad], norm)
clipped = model[1].weight.grad.norm().item() / norm
optim.step()
moved = max((model.get_parameter(name).dequantize() - old).abs().max().item() for name, old in weights.items())
states = [name for name in weights if "exp_avg" in optim.state[model.get_parameter(name)]]
print(
    f"optimum-quanto {importlib.metadata.version('optimum-quanto')}: trainable before {before}, after freeze() "
    f"{after}; moments kept for {states}, which a step moves by {moved}; clipped to the norm of the LayerNorm's "
    f"gradient, that gradient keeps {clipped:.2f} of its length"
)
if not (after == ["0.weight", *before, "2.weight"] and states == list(weights) and moved == 0 and clipped < 0.4):
    sys.exit("changed: frozen weights do not require gradients, or are trained")
PY
