#!/usr/bin/env bash
# One would think: the weighted sum of an adapter with itself, 0.5 and 0.5, is that adapter; weights (1, 1) give twice
#                  it.
# What is so:      "linear" gives twice the adapter for (0.5, 0.5) and four times for (1, 1); "ties" with density 1
#                  gives half of it for (0.5, 0.5). "cat" and "svd" do what one would think.
# Versions:        peft 0.21.2, torch 2.13.0, transformers 5.23.0.
# Source:          _generalized_task_arithmetic_weighted_adapter in peft/tuners/lora/model.py gives each factor the
#                  root of the weight and sums the A's and the B's apart. The product of two sums has cross terms: for
#                  n equal adapters of weight 1/n they make it n times too large.
# Why it matters:  averaging the adapters of several seeds (a soup) with "linear" multiplies what they agree on by
#                  their number, so the soup is scored at the wrong strength and no error is raised.
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
lora = peft.LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj"], init_lora_weights=False)
model = peft.get_peft_model(LlamaForCausalLM(config), lora)
model.add_adapter("twin", lora)
layer = model.base_model.model.model.layers[0].self_attn.q_proj
layer.lora_A["twin"].load_state_dict(layer.lora_A["default"].state_dict())
layer.lora_B["twin"].load_state_dict(layer.lora_B["default"].state_dict())


def size(kind, weights):
    """Norm of the combined update over the norm of the adapter's own."""
    model.add_weighted_adapter(["default", "twin"], weights, "sum", combination_type=kind, density=1.0)
    ratio = layer.get_delta_weight("sum").norm() / layer.get_delta_weight("default").norm()
    model.delete_adapter("sum")
    return round(ratio.item(), 3)


half, one = [0.5, 0.5], [1.0, 1.0]
seen = {"linear": size("linear", half), "linear, weights (1, 1)": size("linear", one), "ties": size("ties", half)}
seen |= {"cat": size("cat", half), "svd": size("svd", half)}
print(
    f"peft {peft.__version__}: an adapter averaged with itself; expected size 1 (2 for weights (1, 1)), seen {seen}"
)
if seen != {"linear": 2.0, "linear, weights (1, 1)": 4.0, "ties": 0.5, "cat": 1.0, "svd": 1.0}:
    sys.exit("changed: the sizes are no longer 2, 4, 0.5, 1 and 1")
PY
