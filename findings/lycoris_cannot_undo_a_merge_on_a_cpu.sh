#!/usr/bin/env bash
# One would think: onfly_restore() undoes onfly_merge(), on any device.
# What is so:      on a CPU it does nothing: the copy of the weights that onfly_merge() keeps is made with .data.cpu(),
#                  which there is no copy but the weights themselves, and the merge writes into them. A second merge comes
#                  on top of the first.
# Versions:        lycoris-lora 4.1.3, torch 2.13.0.
# Source:          onfly_merge and onfly_restore in lycoris/modules/base.py.
# Why it matters:  comparing adapters, or strengths of one, with merge and restore on a CPU compares sums of all adapters
#                  tried so far; the order of the comparison decides.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile torch==2.13.0 lycoris-lora==4.1.3
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import importlib.metadata
import logging
import sys

import torch
from lycoris import LycorisNetwork, create_lycoris
from torch import nn

logging.disable(logging.WARNING)
LycorisNetwork.apply_preset({"target_module": ["Linear"]})


def distances(algorithm):
    """Distance to the base after merge, restore, merge, restore, in units of the first."""
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(32, 32)).requires_grad_(False), torch.randn(64, 32)
    base = model(x)
    network = create_lycoris(model, 1.0, linear_dim=4, linear_alpha=4, algo=algorithm)
    network.apply_to()
    network.restore()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    rows = []
    for step in (network.onfly_merge, network.onfly_restore) * 2:
        step()
        rows.append((model(x) - base).norm().item())
    return [round(row / rows[0], 2) for row in rows]


seen = {algorithm: distances(algorithm) for algorithm in ("lora", "loha", "lokr")}
print(
    f"lycoris-lora {importlib.metadata.version('lycoris-lora')}, on a CPU: distance to the base after merge, restore, "
    f"merge, restore, expected [1, 0, 1, 0], seen {seen}"
)
if any(row != [1.0, 1.0, 2.0, 2.0] for row in seen.values()):
    sys.exit("changed: onfly_restore() undoes the merge on a CPU")
PY
