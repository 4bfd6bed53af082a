#!/usr/bin/env bash
# One would think: the folder that torchtune saves after tuning with LoRA, merged weights in the Hugging Face format,
#                  loads in transformers as the tuned model.
# What is so:      the merged weights and the adapter lie in one folder, and from_pretrained loads both: it puts the
#                  adapter on the merged weights. The update counts twice, without a warning, even though the
#                  adapter's configuration names another base. The adapter on that base is right, and so are the
#                  weights without the adapter's files.
# Versions:        torchtune 0.6.1 (torchao 0.9.0), transformers 5.23.0, peft 0.21.2, torch 2.13.0.
# Source:          save_checkpoint in torchtune/training/checkpointing/_checkpointer.py writes adapter_config.json
#                  beside the merged model; from_pretrained in transformers/models/auto/auto_factory.py takes a local
#                  folder with a config.json and an adapter for a base with its adapter, whatever base the adapter
#                  names.
# Why it matters:  an evaluation of "the merged checkpoint" scores a model that overshoots by one update. Delete the
#                  three adapter files, or move them, before loading.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile \
    torch==2.13.0 torchtune==0.6.1 transformers==5.23.0 peft==0.21.2 accelerate==1.15.0
# torchtune needs an old torchao, which peft refuses: it is seen by the first program only.
"$work/venv/bin/pip" install --quiet --no-compile --no-deps --target "$work/torchao" torchao==0.9.0
cd "$work"
export HF_HUB_OFFLINE=1
PYTHONPATH="$work/torchao" "$work/venv/bin/python" -W ignore - 2> errors <<'PY' || { tail -n 20 errors >&2; exit 1; }
"""Tune a tiny Llama with torchtune, and save it as its recipe for LoRA does."""
import json

import torch
from torchtune import training
from torchtune.models.llama3 import lora_llama3
from torchtune.modules.peft import (
    get_adapter_params,
    get_adapter_state_dict,
    get_merged_lora_ckpt,
    set_trainable_params,
)
from torchtune.training import FullModelHFCheckpointer
from transformers import LlamaConfig, LlamaForCausalLM

HEADS = dict(num_heads=4, num_kv_heads=2, embed_dim=64, intermediate_dim=64)
size = dict(num_attention_heads=4, num_key_value_heads=2, hidden_size=64, intermediate_size=64, vocab_size=64)
torch.manual_seed(0)
config = LlamaConfig(
    **size,
    num_hidden_layers=2,
    rms_norm_eps=1e-6,
    initializer_range=0.15,
    rope_parameters={"rope_type": "default", "rope_theta": 5e5},
)
LlamaForCausalLM(config).save_pretrained("base")
texts = torch.randint(64, (8, 16))


def tune(folder, modules):
    checkpointer = FullModelHFCheckpointer("base", ["model.safetensors"], "LLAMA3", folder)
    torch.manual_seed(0)
    model = lora_llama3(
        modules,
        **HEADS,
        vocab_size=64,
        num_layers=2,
        max_seq_len=128,
        norm_eps=1e-6,
        rope_base=5e5,
        lora_rank=4,
        lora_alpha=8,
    )
    model.load_state_dict(checkpointer.load_checkpoint()[training.MODEL_KEY], strict=False)
    with torch.no_grad():
        before = model(texts)
    adapter = get_adapter_params(model)
    set_trainable_params(model, adapter)
    optim = torch.optim.Adam(adapter.values(), lr=1e-2)
    for _ in range(40):
        optim.zero_grad()
        torch.nn.functional.cross_entropy(model(texts)[:, :-1].flatten(0, 1), texts[:, 1:].flatten()).backward()
        optim.step()
    with torch.no_grad():
        torch.save((texts, before, model(texts)), f"{folder}.pt")
    state = {name: value.clone() for name, value in model.state_dict().items()}
    saved = {
        training.ADAPTER_KEY: get_adapter_state_dict(state),
        training.ADAPTER_CONFIG: {"r": 4, "lora_alpha": 8, "target_modules": list(modules), "peft_type": "LORA"},
    }
    saved[training.MODEL_KEY] = get_merged_lora_ckpt(state, rank=4, alpha=8)
    checkpointer.save_checkpoint(saved, epoch=0, intermediate_checkpoint=False)


with open("base/original_repo_id.json", "w") as file:  # as "tune download" writes it
    json.dump({"repo_id": "example/base"}, file)
tune("out", ["q_proj", "v_proj"])
PY
"$work/venv/bin/python" -W ignore - 2> errors <<'PY' || { tail -n 20 errors >&2; exit 1; }
import importlib.metadata
import json
import shutil
import sys

import peft
import torch
from transformers import AutoModelForCausalLM


def load(folder):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


texts, before, tuned = torch.load("out.pt")
shutil.copytree("out/epoch_0", "merged", ignore=shutil.ignore_patterns("adapter*"))
with open("out/epoch_0/adapter_config.json") as file:
    config = json.load(file)
with torch.no_grad():
    twice = load("merged")
    for name, weight in twice.named_parameters():  # the update once more, from the weights alone
        weight += weight - dict(load("base").named_parameters())[name]
    logits = {
        "tuned in torchtune": tuned,
        "adapter on the base": peft.PeftModel.from_pretrained(load("base"), "out/epoch_0").eval()(texts).logits,
        "weights without the adapter's files": load("merged")(texts).logits,
        "the folder": load("out/epoch_0")(texts).logits,
        "base plus twice the update": twice(texts).logits,
    }
seen = {
    name: (
        round(((x - tuned).norm() / (tuned - before).norm()).item(), 3),
        round(torch.nn.functional.cross_entropy(x[:, :-1].flatten(0, 1), texts[:, 1:].flatten()).item(), 2),
    )
    for name, x in logits.items()
}
gap = (logits["the folder"] - logits["base plus twice the update"]).abs().max().item()
versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("torchtune", "transformers", "peft"))
print(f"{versions}; expected a distance of 0 from the tuned model, in sizes of the update, and its loss; seen:")
for name, pair in seen.items():
    print(f"  {name}: {pair}")
print(f"  the folder and base plus twice the update differ by {gap:.5f}")
print(f"  the saved adapter names the base {config['base_model_name_or_path']}")
if not (
    max(seen["adapter on the base"][0], seen["weights without the adapter's files"][0]) < 0.01
    and seen["the folder"][0] > 0.3
    and gap < 1e-3
):
    sys.exit("changed: the saved folder loads as the tuned model, or none of it does")
PY
