#!/usr/bin/env bash
# One would think: merge_to() puts into the weights what the network computes when it is applied.
# What is so:      for LoHa, and for LoKr with a factored second matrix, the scale alpha / rank is in the merged update
#                  twice. With alpha = rank nothing shows; with alpha = rank / 2 half of the update is merged, with
#                  alpha = 1 and rank 4 a fourth. LoRA is right, and so is LoKr with a full second matrix.
# Versions:        lycoris-lora 4.1.3, torch 2.13.0.
# Source:          get_diff_weight in lycoris/modules/loha.py and lokr.py: it multiplies by self.scale what get_weight has
#                  multiplied by it (gamma=scale). The same holds for onfly_merge().
# Why it matters:  alpha is often 1 or half of the rank: the merged model is then weaker than the one that was validated,
#                  by a factor that depends on the rank, so a comparison over ranks is bent as well.
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

logging.disable(logging.INFO)
LycorisNetwork.apply_preset({"target_module": ["Linear"]})


def merged(algorithm, alpha, **options):
    """Size of the merged update over the size of the applied one, at rank 4."""
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(32, 32)).requires_grad_(False), torch.randn(64, 32)
    base = model(x)
    network = create_lycoris(model, 1.0, linear_dim=4, linear_alpha=alpha, algo=algorithm, **options)
    network.apply_to()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        applied = model(x) - base
        network.restore()
        network.merge_to(1.0)
        return round(((model(x) - base).norm() / applied.norm()).item(), 3)


seen = {
    f"alpha {alpha}": {
        "LoRA": merged("lora", alpha),
        "LoHa": merged("loha", alpha),
        "LoKr": merged("lokr", alpha, factor=2),
    }
    for alpha in (4, 2, 1)
}
print(
    f"lycoris-lora {importlib.metadata.version('lycoris-lora')}: merged update over applied update at rank 4, expected "
    f"1 throughout, seen {seen}"
)
if seen != {f"alpha {a}": {"LoRA": 1.0, "LoHa": a / 4, "LoKr": a / 4} for a in (4, 2, 1)}:
    sys.exit("changed: the merge scales the update once")
PY
