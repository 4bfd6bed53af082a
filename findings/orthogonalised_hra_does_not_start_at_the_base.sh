#!/usr/bin/env bash
# One would think: HRA with an even rank starts at the base model, with Gram-Schmidt (apply_GS=True) or without:
#                  init_weights=True makes the reflections equal in pairs, so that each pair is the identity.
# What is so:      with Gram-Schmidt the second vector of a pair loses all but rounding errors, which are then blown up to
#                  length 1: half of the reflections point in directions of noise, the first half is not undone, and the
#                  untrained model is far from the base. Computed in float64 instead of float32 it is another model.
# Versions:        peft 0.21.2, torch 2.13.0, transformers 5.23.0.
# Source:          get_delta_weight and reset_hra_parameters in peft/tuners/hra/layer.py.
# Why it matters:  training starts from a damaged model and Gram-Schmidt looks harmful; half of the start is chosen by
#                  rounding, so one seed gives another start in another precision.
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

torch.manual_seed(0)
linear, x = nn.Linear(64, 64), torch.randn(256, 64)


def outputs(apply_gs, dtype=torch.float32):
    """Outputs of the untrained adapter, whose vectors have the same values in every dtype."""
    base = nn.Sequential(nn.Linear(64, 64))
    base.load_state_dict({f"0.{name}": tensor for name, tensor in linear.state_dict().items()})
    torch.manual_seed(1)
    model = peft.get_peft_model(base, peft.HRAConfig(target_modules=["0"], r=16, apply_GS=apply_gs))
    with torch.no_grad():
        return model.to(dtype)(x.to(dtype)).double()


def distance(one, other):
    return round(((one - other).norm() / other.norm()).item(), 3)


with torch.no_grad():
    base = linear(x).double()
seen = {f"apply_GS={gs}": distance(outputs(gs), base) for gs in (False, True)}
dtypes = {f"apply_GS={gs}": distance(outputs(gs), outputs(gs, torch.float64)) for gs in (False, True)}
print(
    f"peft {peft.__version__}: relative distance of the untrained model to the base, expected 0 twice, seen {seen}; "
    f"of float32 to float64, expected 0 twice, seen {dtypes}"
)
if not (seen["apply_GS=False"] < 1e-3 and seen["apply_GS=True"] > 0.3 and dtypes["apply_GS=True"] > 0.3):
    sys.exit("changed: HRA with Gram-Schmidt starts at the base model")
PY
