#!/usr/bin/env bash
# One would think: disable_adapter() (a context manager for runs of the base model) leaves the model as it found it.
# What is so:      on leaving, all weights of the active adapter have requires_grad=True: an adapter loaded for
#                  inference is trainable from then on, and a LoRA whose A one has frozen trains A again.
# Versions:        peft 0.21.2, torch 2.13.0, transformers 5.23.0.
# Source:          enable_adapters in peft/tuners/tuners_utils.py calls set_adapter, which marks all the adapter's
#                  weights as trainable; disable_adapter in peft/peft_model.py does not note what was frozen before.
# Why it matters:  DPO and other losses with a reference, and every "score the base model too", use it. Afterwards an
#                  optimizer over what requires gradients takes the frozen weights in; counts of parameters change.
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
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=4,
)
torch.manual_seed(0)


def trainable(model):
    return sum(p.requires_grad for p in model.parameters())


def around(model):
    before = trainable(model)
    with model.disable_adapter():
        model(input_ids=torch.tensor([[1, 2, 3]]))
    return before, trainable(model)


model = peft.get_peft_model(LlamaForCausalLM(config), peft.LoraConfig(target_modules=["q_proj"]))
model.save_pretrained("adapter")
for name, parameter in model.named_parameters():
    if "lora_A" in name:
        parameter.requires_grad = False
seen = {"A frozen by hand": around(model)}
seen["loaded for inference"] = around(peft.PeftModel.from_pretrained(LlamaForCausalLM(config), "adapter"))
print(
    f"peft {peft.__version__}: trainable tensors before and after disable_adapter(), expected equal, seen {seen}"
)
if seen != {"A frozen by hand": (2, 4), "loaded for inference": (0, 4)}:
    sys.exit("changed: disable_adapter() no longer makes all of the adapter trainable")
PY
