#!/usr/bin/env bash
# One would think: a learning rate of 1e-3 moves all weights alike, and a gain stored as 1 + w (Gemma) trains as one
#                  that is stored as w (Llama): the two are the same function with the same gradient.
# What is so:      Adafactor scales each step by the size of the tensor, at least 0.001. Gemma's norms, stored as 0,
#                  move about a thousand times less than Llama's; so do LoRA's B and every bias, which begin at 0 as
#                  well.
# Versions:        torch 2.13.0 (torch.optim.Adafactor has no switch; in transformers' Adafactor it is
#                  scale_parameter).
# Source:          _single_tensor_adafactor in torch/optim/_adafactor.py: the step is max(eps2, rms of the tensor) *
#                  rate.
# Why it matters:  LayerNorm tuning with Adafactor works on Llama and does next to nothing on Gemma, and LoRA hardly
#                  starts: "the method fails on this model" is then a statement about storage.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile torch==2.13.0 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import sys

import torch

torch.manual_seed(0)
x, target = torch.randn(64, 16), torch.randn(64, 16)


def moved(optimizer, offset):
    """Root mean square of the change of a gain (stored with the offset taken off) in 30 steps."""
    stored = torch.nn.Parameter(torch.ones(16) - offset)
    optim = optimizer([stored], lr=1e-3)
    for _ in range(30):
        optim.zero_grad()
        ((stored + offset) * x - target).pow(2).mean().backward()
        optim.step()
    return (stored.detach() + offset - 1).pow(2).mean().sqrt().item()


seen = {
    optimizer.__name__: {"stored as w": moved(optimizer, 0), "stored as 1 + w": moved(optimizer, 1)}
    for optimizer in (torch.optim.AdamW, torch.optim.Adafactor)
}
ratio = {name: round(row["stored as w"] / row["stored as 1 + w"], 1) for name, row in seen.items()}
print(
    f"torch {torch.__version__}: movement of a gain stored as w over 1 + w, expected about 1 twice, seen {ratio}"
)
if not (0.8 < ratio["AdamW"] < 1.25 and ratio["Adafactor"] > 500):
    sys.exit("changed: Adafactor moves both gains alike")
PY
