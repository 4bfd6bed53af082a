#!/usr/bin/env bash
# One would think: AdaLoRA's orthogonality penalty is part of the loss in training; in evaluation the loss is the cross
#                  entropy, and with the adapter switched off it is the base model's.
# What is so:      the penalty is in each loss the model returns: in eval mode, and under disable_adapter() too. At the
#                  start it is about 1.7, in a model whose cross entropy is 4.1.
# Versions:        peft 0.21.2, torch 2.13.0, transformers 5.23.0.
# Source:          AdaLoraModel.forward in peft/tuners/adalora/model.py looks neither at training nor at whether the
#                  adapters are on.
# Why it matters:  Trainer's eval_loss and a perplexity made of it are not those of the model: exp(1.7) is 5.5 times the
#                  perplexity. AdaLoRA then looks worse than LoRA, and its best checkpoint is chosen by the penalty as
#                  well. Compute the loss from the logits.
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
text = torch.arange(1, 33)[None]
torch.manual_seed(0)
base = LlamaForCausalLM(config).eval()
with torch.no_grad():
    seen = {"base model": base(input_ids=text, labels=text).loss.item()}
    adalora = peft.AdaLoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj", "v_proj"], total_step=100)
    model = peft.get_peft_model(base, adalora).eval()  # the update is zero at the start
    output = model(input_ids=text, labels=text)
    seen["from the logits"] = torch.nn.functional.cross_entropy(output.logits[0, :-1], text[0, 1:]).item()
    seen["loss in eval mode"] = output.loss.item()
    with model.disable_adapter():
        seen["loss, adapter off"] = model(input_ids=text, labels=text).loss.item()
seen = {name: round(value, 2) for name, value in seen.items()}
print(f"peft {peft.__version__}: expected one loss, seen {seen}")
cross_entropy = seen["base model"]
if not (
    abs(seen["from the logits"] - cross_entropy) < 0.02
    and seen["loss in eval mode"] > cross_entropy + 1
    and seen["loss, adapter off"] > cross_entropy + 1
):
    sys.exit("changed: the penalty is no longer in the loss of evaluation, or no longer with the adapter off")
PY
