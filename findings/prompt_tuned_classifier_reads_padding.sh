#!/usr/bin/env bash
# One would think: a decoder with a classification head reads its last real token, with prompt tuning as without.
# What is so:      with prompt tuning or P-tuning it reads the last position of the batch, padding or not: the score
#                  of a text changes with the length of its neighbours. With LoRA or prefix tuning it does not.
# Versions:        peft 0.21.2, torch 2.13.0, transformers 5.23.0.
# Source:          PeftModelForSequenceClassification.forward (peft/peft_model.py) passes embeddings, not ids; without
#                  ids, GenericForSequenceClassification.forward (transformers/modeling_layers.py) takes position -1
#                  and says so once, in a log line.
# Why it matters:  prompt tuning of Llama, Qwen or GPT-2 on GLUE-like tasks with right padding trains and is scored on
#                  padding; its low score is then put down to the method. Left padding avoids it.
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
from transformers import LlamaConfig, LlamaForSequenceClassification

config = LlamaConfig(
    vocab_size=64,
    hidden_size=32,
    intermediate_size=64,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=4,
    pad_token_id=0,
    num_labels=2,
)
methods = {
    "LoRA": peft.LoraConfig(task_type="SEQ_CLS", target_modules=["q_proj"], init_lora_weights=False),
    "prefix": peft.PrefixTuningConfig(task_type="SEQ_CLS", num_virtual_tokens=4),
    "prompt": peft.PromptTuningConfig(task_type="SEQ_CLS", num_virtual_tokens=4),
    "P-tuning": peft.PromptEncoderConfig(task_type="SEQ_CLS", num_virtual_tokens=4, encoder_hidden_size=16),
}
text = torch.tensor([[5, 6, 7, 8, 9, 10, 11, 12]])
padded = torch.nn.functional.pad(text, (0, 6), value=0)
seen = {}
for name, method in methods.items():
    torch.manual_seed(0)
    model = peft.get_peft_model(LlamaForSequenceClassification(config), method).eval()
    with torch.no_grad():
        alone = model(input_ids=text, attention_mask=torch.ones_like(text)).logits
        beside_a_longer_one = model(input_ids=padded, attention_mask=(padded != 0).long()).logits
    seen[name] = round(((beside_a_longer_one - alone).norm() / alone.norm()).item(), 3)
print(f"peft {peft.__version__}: change of a text's logits by right padding, expected 0 for all, seen {seen}")
if not (seen["LoRA"] < 0.001 and seen["prefix"] < 0.001 and seen["prompt"] > 0.1 and seen["P-tuning"] > 0.1):
    sys.exit("changed: prompt tuning and P-tuning no longer depend on padding, or the others now do")
PY
