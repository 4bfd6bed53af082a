#!/usr/bin/env bash
# One would think: add_weighted_adapter with combination_type "cat" or "svd" gives the sum of the updates, for
#                  rank-stabilised LoRA (use_rslora=True) as for plain LoRA.
# What is so:      the sum of rsLoRA adapters is multiplied by the root of the new adapter's rank: with cat that is the
#                  root of the sum of the ranks, so two adapters of rank 8 give four times their sum.
# Versions:        peft 0.21.2, torch 2.13.0, transformers 5.23.0.
# Source:          add_weighted_adapter in peft/tuners/lora/model.py gives the new adapter lora_alpha = rank, so that
#                  its scaling is 1, and copies use_rslora, which makes it alpha / sqrt(rank) = sqrt(rank).
# Why it matters:  a merge of rsLoRA adapters, even of one with weight 1, breaks the model, and the blame falls on
#                  interference between the tasks.
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
seen = {}
for stabilised in (False, True):
    torch.manual_seed(0)
    lora = peft.LoraConfig(
        r=8, lora_alpha=16, target_modules=["v_proj"], use_rslora=stabilised, init_lora_weights=False
    )
    model = peft.get_peft_model(LlamaForCausalLM(config), lora, adapter_name="a")
    model.add_adapter("b", lora)
    layer = model.base_model.model.model.layers[0].self_attn.v_proj
    total = layer.get_delta_weight("a") + layer.get_delta_weight("b")
    for kind, options in {"cat": {}, "svd": {"svd_rank": 16}}.items():
        model.add_weighted_adapter(["a", "b"], [1.0, 1.0], kind, combination_type=kind, **options)
        update = layer.get_delta_weight(kind)
        same_direction = torch.cosine_similarity(update.flatten(), total.flatten(), dim=0) > 0.9999
        size = round((update.norm() / total.norm()).item(), 3)
        seen["rsLoRA" if stabilised else "LoRA", kind] = size if same_direction else "another direction"
print(
    f"peft {peft.__version__}: size of the merged update over the sum of two of rank 8, expected 1.0 for all, "
    f"seen {seen}"
)
if seen != {("LoRA", "cat"): 1.0, ("LoRA", "svd"): 1.0, ("rsLoRA", "cat"): 4.0, ("rsLoRA", "svd"): 4.0}:
    sys.exit("changed: sums of rsLoRA adapters are no longer scaled by the root of the rank")
PY
