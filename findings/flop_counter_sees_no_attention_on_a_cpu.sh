#!/usr/bin/env bash
# One would think: torch's FlopCounterMode counts attention's two products, forwards and backwards, on any device.
# What is so:      on a CPU scaled_dot_product_attention counts 0, because its usual kernel there has no formula. The
#                  math kernel, taken as soon as there is attention dropout, counts in full.
# Versions:        torch 2.13.0 on a CPU.
# Source:          flop_registry in torch/utils/flop_counter.py lacks _scaled_dot_product_flash_attention_for_cpu; what
#                  is not in it counts nothing.
# Why it matters:  tables of a method's cost are made on a CPU, with one forward of the model. At 2,048 tokens a third
#                  of a small model's work is missing, methods that lengthen the text (prompts, prefixes) look cheaper,
#                  and train mode with dropout seems to cost more than eval mode.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile torch==2.13.0 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import sys

import torch
from torch.nn.functional import scaled_dot_product_attention
from torch.utils.flop_counter import FlopCounterMode

heads, length, size = 4, 128, 16


def count(**options):
    """Operations of the forward and of both passes."""
    query, key, value = (torch.randn(1, heads, length, size, requires_grad=True) for _ in range(3))
    with FlopCounterMode(display=False) as forward:
        output = scaled_dot_product_attention(query, key, value, **options)
    with FlopCounterMode(display=False) as backward:
        output.sum().backward()
    return forward.get_total_flops(), forward.get_total_flops() + backward.get_total_flops()


by_hand = 2 * (2 * heads * length * length * size)  # two products, a multiplication and an addition each
seen = {
    "plain": count(),
    "causal": count(is_causal=True),
    "with a mask": count(attn_mask=torch.ones(1, 1, length, length, dtype=torch.bool)),
    "with dropout": count(dropout_p=0.1),
}
print(
    f"torch {torch.__version__}: operations (forward, both passes), expected about {(by_hand, 3 * by_hand)} for all, "
    f"seen {seen}"
)
if seen != {name: (by_hand, 3 * by_hand) if name == "with dropout" else (0, 0) for name in seen}:
    sys.exit("changed: attention on a CPU is counted now, or no longer with dropout")
PY
