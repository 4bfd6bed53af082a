#!/usr/bin/env bash
# One would think: generate corrects positions for left padding, so a padded text gives the same tokens as an unpadded
#                  one, with prompt tuning as without.
# What is so:      with prompt tuning it does not. The virtual tokens stand before the padding, and positions are
#                  counted over it: on GPT-2 the text's own positions move, on Llama its distance to the prompt grows.
#                  Greedy decoding then gives other tokens. Without the prompt both models are right.
# Versions:        peft 0.21.2, torch 2.13.0, transformers 5.23.0.
# Source:          PeftModelForCausalLM.prepare_inputs_for_generation and forward in peft/peft_model.py join prompt
#                  and text as embeddings and pass no position_ids on; the model then counts from 0 over the padding.
# Why it matters:  the answers of a prompt-tuned model depend on the other texts of the batch: another batch size,
#                  another score. LoRA and the like, compared on the same batches, do not suffer.
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
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

gpt2 = GPT2Config(
    vocab_size=64,
    n_embd=32,
    n_layer=2,
    n_head=4,
    initializer_range=0.3,
    pad_token_id=0,
    bos_token_id=1,
    eos_token_id=2,
)
llama = LlamaConfig(
    vocab_size=64,
    hidden_size=32,
    intermediate_size=64,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=4,
    initializer_range=0.3,
    pad_token_id=0,
)


def tokens(model, text):
    options = {"max_new_tokens": 12, "min_new_tokens": 12, "do_sample": False}
    return model.generate(input_ids=text, attention_mask=(text != 0).long(), **options)[0, -12:].tolist()


text = torch.arange(3, 11)[None]
padded = torch.nn.functional.pad(text, (4, 0), value=0)
seen = {}
for name, cls, config in (("GPT-2", GPT2LMHeadModel, gpt2), ("Llama", LlamaForCausalLM, llama)):
    torch.manual_seed(0)
    model = cls(config).eval()
    seen[name] = tokens(model, text) == tokens(model, padded)
    model = peft.get_peft_model(model, peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=5)).eval()
    torch.nn.init.normal_(model.prompt_encoder["default"].embedding.weight)
    seen[f"{name} with a prompt"] = tokens(model, text) == tokens(model, padded)
print(f"peft {peft.__version__}: same tokens with left padding as without, expected True for all, seen {seen}")
if seen != {"GPT-2": True, "GPT-2 with a prompt": False, "Llama": True, "Llama with a prompt": False}:
    sys.exit("changed: a prompt-tuned model no longer depends on left padding, or the plain one does")
PY
