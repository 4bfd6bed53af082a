#!/usr/bin/env bash
# One would think: add_weighted_adapter with one DoRA adapter and weight 1 makes a copy of it, or refuses DoRA.
# What is so:      the new adapter has the matrices A and B, but its magnitudes are those of the untouched base
#                  weight: what training did to them is gone, without a word. Its config still says use_dora.
# Versions:        peft 0.21.2, torch 2.13.0, transformers 5.23.0.
# Source:          add_weighted_adapter in peft/tuners/lora/model.py fills lora_A and lora_B of the new adapter only;
#                  its magnitude vector is left as it was made, the row norms of the base weight.
# Why it matters:  a soup, a copy or a sum of DoRA adapters is scored as if it were the trained one.
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
from transformers import LlamaConfig, LlamaForCausalLM

config = LlamaConfig(
    vocab_size=64,
    hidden_size=32,
    intermediate_size=64,
    num_hidden_layers=1,
    num_attention_heads=4,
    num_key_value_heads=4,
)
torch.manual_seed(0)
dora = peft.LoraConfig(r=4, lora_alpha=4, target_modules=["v_proj"], use_dora=True)
model = peft.get_peft_model(LlamaForCausalLM(config), dora).eval()
layer = model.base_model.model.model.layers[0].self_attn.v_proj
with torch.no_grad():  # what a training run would have done: B, and magnitudes 1.5 times the base's
    layer.lora_B["default"].weight.normal_(std=0.1)
    layer.lora_magnitude_vector["default"].weight.mul_(1.5)
model.add_weighted_adapter(["default"], [1.0], "copy", combination_type="linear")

base_norm = layer.get_base_layer().weight.norm(dim=1)
same_matrices = torch.allclose(layer.get_delta_weight("default"), layer.get_delta_weight("copy"), atol=1e-6)
ratio = {name: (layer.lora_magnitude_vector[name].weight / base_norm).mean().item() for name in ("default", "copy")}
ratio = {name: round(value, 3) for name, value in ratio.items()}
still_dora = model.peft_config["copy"].use_dora
print(
    f"peft {peft.__version__}: magnitude over the base's, expected 1.5 in adapter and copy, "
    f"seen {ratio}; same A and B: {same_matrices}; the copy's use_dora: {still_dora}"
)
if not (same_matrices and still_dora and ratio == {"default": 1.5, "copy": 1.0}):
    sys.exit("changed: the copy no longer has the adapter's matrices with the base's magnitudes")
PY
