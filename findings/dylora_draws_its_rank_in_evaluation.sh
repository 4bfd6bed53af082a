#!/usr/bin/env bash
# One would think: DyLoRA draws a rank for each training step, and uses its full rank in eval mode and in a merge.
# What is so:      it draws one in every forward, eval mode or not: the same batch gets another output each time, with
#                  Python's random, which torch.manual_seed() does not seed. merge_to() too merges a rank that it draws,
#                  for each layer another.
# Versions:        lycoris-lora 4.1.3, torch 2.13.0.
# Source:          get_random_rank_weight and get_diff_weight in lycoris/modules/dylora.py; self.training is asked for
#                  the module's dropout alone.
# Why it matters:  validation scores carry noise that seeds of torch and numpy do not fix, of the size of the differences
#                  between methods, and the merged model is one of many.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile torch==2.13.0 lycoris-lora==4.1.3
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import importlib.metadata
import logging
import random
import sys

import torch
from lycoris import LycorisNetwork, create_lycoris
from torch import nn

logging.disable(logging.WARNING)
LycorisNetwork.apply_preset({"target_module": ["Linear"]})
random.seed(0)
torch.manual_seed(0)
x, target = torch.randn(32, 16), torch.randn(32, 4)
model = nn.Sequential(nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 4)).requires_grad_(False)
weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}


def loss():
    return (model(x) - target).square().mean()


network = create_lycoris(model, 1.0, linear_dim=8, linear_alpha=8, algo="dylora", block_size=1)
network.apply_to()
optim = torch.optim.Adam(network.parameters(), lr=1e-2)
for _ in range(200):
    optim.zero_grad()
    loss().backward()
    optim.step()

model.eval()
network.eval()
evaluated = []
for _ in range(6):
    torch.manual_seed(0)
    evaluated.append(round(loss().item(), 3))
network.restore()
merged = []
for _ in range(6):
    network.merge_to(1.0)
    merged.append(round(loss().item(), 3))
    model.load_state_dict(weights, strict=False)
print(
    f"lycoris-lora {importlib.metadata.version('lycoris-lora')}: losses of one batch in eval mode, expected six times "
    f"the same, seen {evaluated}; after six merges into the same base, expected the same, seen {merged}"
)
if len(set(evaluated)) < 4 or len(set(merged)) < 4:
    sys.exit("changed: DyLoRA uses one rank in eval mode, or in a merge")
PY
