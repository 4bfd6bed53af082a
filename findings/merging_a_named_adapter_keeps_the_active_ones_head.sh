#!/usr/bin/env bash
# One would think: merge_and_unload(adapter_names=["b"]) gives the model that b alone would be, whichever adapter is
#                  active: b's updates and b's classification head.
# What is so:      the updates are b's, and the head (modules_to_save) is that of the active adapter. No word is said.
# Versions:        peft 0.21.2, torch 2.13.0, transformers 5.23.0.
# Source:          ModulesToSaveWrapper.unload_and_optionally_merge_module in peft/utils/other.py takes the module of
#                  its active adapter and looks at adapter_names only if that module is itself a tuner layer.
# Why it matters:  with several tasks' adapters on one base, the exported model of a task has the encoder of that task
#                  and the head of another; with equal numbers of labels nothing fails. Call set_adapter first.
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
from transformers import BertConfig, BertForSequenceClassification

config = BertConfig(
    vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_labels=2
)
text = torch.arange(1, 9)[None]


def model_of_two_tasks(active):
    torch.manual_seed(0)
    lora = peft.LoraConfig(task_type="SEQ_CLS", target_modules=["query", "value"], init_lora_weights=False)
    model = peft.get_peft_model(BertForSequenceClassification(config), lora, adapter_name="a").eval()
    model.add_adapter("b", lora)
    with torch.no_grad():
        for head in model.base_model.model.classifier.modules_to_save.values():  # each task has trained its own
            head.weight.normal_()
    model.set_adapter(active)
    return model


with torch.no_grad():
    expected = model_of_two_tasks(active="b")(input_ids=text).logits
    seen = {}
    for active in ("a", "b"):
        model = model_of_two_tasks(active)
        heads = {name: head.weight.clone() for name, head in model.base_model.model.classifier.modules_to_save.items()}
        merged = model.merge_and_unload(adapter_names=["b"])
        change = (merged(input_ids=text).logits - expected).norm() / expected.norm()
        head = next(name for name, weight in heads.items() if torch.equal(weight, merged.classifier.weight))
        seen[f"{active} active"] = (head, round(change.item(), 3))
print(
    f"peft {peft.__version__}: (whose head, change of the logits) after merging b, expected ('b', 0.0) in both cases, "
    f"seen {seen}"
)
if not (seen["a active"][0] == "a" and seen["a active"][1] > 0.1 and seen["b active"] == ("b", 0.0)):
    sys.exit("changed: the head no longer follows the active adapter")
PY
