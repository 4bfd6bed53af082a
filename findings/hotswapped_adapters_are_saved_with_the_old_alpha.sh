#!/usr/bin/env bash
# One would think: after hotswap_adapter the model holds the new adapter, so saving it gives a file of the new
#                  adapter.
# What is so:      weights and live scaling are the new ones, but the adapter's config is still the old one and is
#                  what is saved: with another lora_alpha the reloaded adapter has another strength than the model in
#                  memory.
# Versions:        peft 0.21.2, torch 2.13.0, transformers 5.23.0.
# Source:          hotswap_adapter in peft/utils/hotswap.py writes tensors and scalings, and never model.peft_config.
# Why it matters:  a server or a benchmark that swaps adapters scores one model and keeps another; the ratio of the
#                  two alphas is the error.
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
from peft.utils.hotswap import hotswap_adapter
from transformers import LlamaConfig, LlamaForCausalLM

config = LlamaConfig(
    vocab_size=64,
    hidden_size=32,
    intermediate_size=64,
    num_hidden_layers=1,
    num_attention_heads=4,
    num_key_value_heads=4,
)


def lora(alpha):
    torch.manual_seed(0)
    method = peft.LoraConfig(r=4, lora_alpha=alpha, target_modules=["q_proj"], init_lora_weights=False)
    return peft.get_peft_model(LlamaForCausalLM(config), method)


def strength(model):
    """Norm of the first query update."""
    layer = model.base_model.model.model.layers[0].self_attn.q_proj
    return layer.get_delta_weight("default").norm().item()


new = lora(alpha=16)
new.save_pretrained("new")
model = lora(alpha=4)
hotswap_adapter(model, "new", adapter_name="default")
model.save_pretrained("saved")
torch.manual_seed(0)
loaded = peft.PeftModel.from_pretrained(LlamaForCausalLM(config), "saved")
seen = {"in memory": strength(model) / strength(new), "saved and loaded": strength(loaded) / strength(new)}
seen = {name: round(value, 3) for name, value in seen.items()}
print(f"peft {peft.__version__}: strength over that of the swapped-in adapter, expected 1 and 1, seen {seen}")
if seen != {"in memory": 1.0, "saved and loaded": 0.25}:
    sys.exit("changed: a hot-swapped adapter is saved with its own alpha")
PY
