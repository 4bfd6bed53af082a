#!/usr/bin/env bash
# One would think: modules_to_save=["norm"] on Llama trains the last norm, model.norm, as target_modules=["norm"]
#                  would: a name stands for a whole part of the path.
# What is so:      modules_to_save matches the end of the string: input_layernorm and post_attention_layernorm end on
#                  "norm" too, so every norm of the model is copied, trained and saved. target_modules takes one.
# Versions:        peft 0.21.2, torch 2.13.0, transformers 5.23.0.
# Source:          _set_trainable in peft/utils/other.py asks key.endswith(name); target_modules wants a dot before it
#                  (check_target_module_exists in peft/tuners/tuners_utils.py).
# Why it matters:  "LoRA and the last norm" is in truth LoRA and LayerNorm tuning, and the counts of trained
#                  parameters in a comparison are wrong.
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
    num_hidden_layers=3,
    num_attention_heads=4,
    num_key_value_heads=4,
)
torch.manual_seed(0)


def trained_norms(method):
    model = peft.get_peft_model(LlamaForCausalLM(config), method)
    return sum(p.requires_grad for name, p in model.named_parameters() if "norm" in name)


saved = trained_norms(peft.LoraConfig(target_modules=["q_proj"], modules_to_save=["norm"]))
targeted = trained_norms(peft.LNTuningConfig(target_modules=["norm"]))
print(
    f"peft {peft.__version__}: norms trained of a Llama of 3 blocks (7 norms), expected 1 and 1, "
    f'seen {saved} for modules_to_save=["norm"] and {targeted} for target_modules=["norm"]'
)
if (saved, targeted) != (7, 1):
    sys.exit("changed: the two lists no longer take 7 norms and 1")
PY
