#!/usr/bin/env bash
# One would think: merge_and_unload() on a base that was quantised with optimum-quanto either merges, with rounding noise,
#                  or says that it cannot.
# What is so:      it returns the base. peft takes quanto's QLinear, a subclass of nn.Linear, for a plain linear layer and
#                  adds the update to weight.data, which is a dequantised copy: all of the update is lost, for LoRA,
#                  DoRA, LoHa, VeRA, OFT, HRA and MiSS alike, and with safe_merge=True as well. Unmerged all is well.
# Versions:        peft 0.21.2, optimum-quanto 0.2.7 (int8 weights, frozen), torch 2.13.0, transformers 5.23.0.
# Source:          Linear.merge in peft/tuners/lora/layer.py; QTensor in optimum/quanto/tensor/qtensor.py. peft does not
#                  list quanto among the quantisation libraries that it supports; it does not refuse it either.
# Why it matters:  "trained on int8, merged for the evaluation" evaluates the base, with scores that look like an adapter
#                  that learnt nothing. Leave the adapter unmerged, or merge into the float model and quantise after.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile torch==2.13.0 transformers==5.23.0 peft==0.21.2 optimum-quanto==0.2.7
cd "$work"
HF_HUB_OFFLINE=1 "$work/venv/bin/python" -W ignore - <<'PY'
import importlib.metadata
import sys

import peft
import torch
from optimum.quanto import freeze, qint8, quantize
from torch import nn

CONFIGS = {
    "LoRA": peft.LoraConfig(target_modules=["0"], r=4, init_lora_weights=False),
    "DoRA": peft.LoraConfig(target_modules=["0"], r=4, init_lora_weights=False, use_dora=True),
    "LoHa": peft.LoHaConfig(target_modules=["0"], r=4, init_weights=False),
    "VeRA": peft.VeraConfig(target_modules=["0"], r=4, init_weights=False),
    "OFT": peft.OFTConfig(target_modules=["0"], oft_block_size=8, init_weights=False),
    "HRA": peft.HRAConfig(target_modules=["0"], r=4, init_weights=False),
    "MiSS": peft.MissConfig(target_modules=["0"], r=4, init_weights=False),
}


def lost(config, quantised, safe_merge=False):
    """Share of an adapter's effect on the outputs that a merge loses: 0 for a right merge, 1 for none."""
    torch.manual_seed(0)
    base, x = nn.Sequential(nn.Linear(16, 16)), torch.randn(64, 16)
    if quantised:
        quantize(base, weights=qint8)
        freeze(base)
    with torch.no_grad():
        before = base(x)
        model = peft.get_peft_model(base, config).eval()
        tuned = model(x)
        merged = model.merge_and_unload(safe_merge=safe_merge)(x)
    return round(((merged - tuned).norm() / (tuned - before).norm()).item(), 3)


seen = {name: lost(config, True) for name, config in CONFIGS.items()}
safe = {name: lost(config, True, safe_merge=True) for name, config in CONFIGS.items()}
plain = {name: lost(config, False) for name, config in CONFIGS.items()}
print(
    f"peft {peft.__version__}, optimum-quanto {importlib.metadata.version('optimum-quanto')}: share of the adapter's "
    f"effect lost by the merge, expected near 0, seen {seen} on int8 ({safe} with safe_merge), {plain} on floats"
)
if not (set(seen.values()) == set(safe.values()) == {1.0} and max(plain.values()) < 0.01):
    sys.exit("changed: the merge into quanto's weights keeps some of the update, or is refused")
PY
