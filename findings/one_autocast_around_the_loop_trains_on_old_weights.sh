#!/usr/bin/env bash
# One would think: `with torch.autocast(...)` around the whole training loop trains as one around each forward does;
#                  at most the backward pass is less exact.
# What is so:      the model computes with the linear weights of the first step until the context ends. The optimiser
#                  moves the true ones on and on with gradients taken at the old: the loss ends at 3.6 where it should
#                  be 0.001, and the weights that come out are far worse still.
# Versions:        torch 2.13.0, in bfloat16 on a CPU.
# Source:          autocast keeps the low-precision copy of each leaf that requires gradients until the outermost
#                  context is left (aten/src/ATen/autocast_mode.cpp); it does not see that the leaf was changed.
#                  cache_enabled=False mends it.
# Why it matters:  what autocast does not cast (norms) does learn, so the loss falls a little; LayerNorm tuning beside a
#                  new head looks like a weak method instead of a broken loop.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile torch==2.13.0 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import contextlib
import sys

import torch
from torch.nn.functional import mse_loss


def train(around_loop, around_forward):
    """The loss of the last of 200 steps, and that of the weights that come out, in float32."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Linear(8, 32), torch.nn.LayerNorm(32), torch.nn.GELU(), torch.nn.Linear(32, 1)
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    x = torch.randn(64, 8)
    y = 2 * x[:, :1]
    with around_loop():
        for _ in range(200):
            with around_forward():
                loss = mse_loss(model(x).float(), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    with torch.no_grad():
        return round(loss.item(), 3), round(mse_loss(model(x), y).item(), 3)


def autocast():
    return torch.autocast("cpu", torch.bfloat16)


def uncached():
    return torch.autocast("cpu", torch.bfloat16, cache_enabled=False)


nothing = contextlib.nullcontext
seen = {
    "around the forward": train(nothing, autocast),
    "around the loop": train(autocast, nothing),
    "around the loop, no cache": train(uncached, nothing),
}
print(
    f"torch {torch.__version__}: (last loss, loss of the weights that come out), expected about 0 for all, seen {seen}"
)
if not (
    max(seen["around the forward"]) < 0.05
    and max(seen["around the loop, no cache"]) < 0.05
    and seen["around the loop"][0] > 1
    and seen["around the loop"][1] > seen["around the loop"][0]
):
    sys.exit("changed: the cache no longer outlives the optimiser's step")
PY
