#!/usr/bin/env bash
# One would think: a DoRA adapter that torchtune saves in PEFT's format is a DoRA adapter in peft.
# What is so:      its configuration does not say use_dora, so peft makes plain LoRA of it and leaves the trained
#                  magnitudes in the file; half of the update is lost here. With "use_dora": true written into the
#                  configuration the magnitudes are read, but those of q_proj and k_proj lie in torchtune's order of
#                  rows, and the model is still another one. With both put right it is the tuned model; the merged
#                  weights are so as saved.
# Versions:        torchtune 0.6.1 (torchao 0.9.0), peft 0.21.2, torch 2.13.0, transformers 5.23.0.
# Source:          save_checkpoint in recipes/lora_finetune_single_device.py writes r, lora_alpha, target_modules and
#                  peft_type; tune_to_peft_adapter_weights in torchtune/models/convert_weights.py renames magnitudes,
#                  and permutes the rows of lora_B only.
# Why it matters:  DoRA is compared with LoRA by an adapter that is neither of them.
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
        use_dora=True,
    )
    model.load_state_dict(checkpointer.load_checkpoint()[training.MODEL_KEY], strict=False)
    for module in model.modules():
        if hasattr(module, "initialize_dora_magnitude"):
            module.initialize_dora_magnitude()
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


tune("out", ["q_proj", "v_proj"])
PY
"$work/venv/bin/python" -W ignore - 2> errors <<'PY' || { tail -n 20 errors >&2; exit 1; }
import importlib.metadata
import json
import shutil
import sys

import peft
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM


def load(folder):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def halves(name, value):
    """Magnitudes of q_proj and k_proj in the order of Llama's rows in transformers: halves of each head, not pairs."""
    if "magnitude" in name and ("q_proj" in name or "k_proj" in name):
        value = value.view(-1, 8, 2).transpose(1, 2).reshape(-1).contiguous()
    return value


def change(folder, ordered):
    """A copy of the saved adapter that says use_dora, with magnitudes as they are or in order."""
    shutil.copytree("out/epoch_0", folder)
    with open("out/epoch_0/adapter_config.json") as file:
        config = json.load(file)
    with open(f"{folder}/adapter_config.json", "w") as file:
        json.dump({**config, "use_dora": True}, file)
    weights = load_file("out/epoch_0/adapter_model.safetensors")
    if ordered:
        weights = {name: halves(name, value) for name, value in weights.items()}
    save_file(weights, f"{folder}/adapter_model.safetensors")


texts, before, tuned = torch.load("out.pt")
change("said", False)
change("ordered", True)
shutil.copytree("out/epoch_0", "merged", ignore=shutil.ignore_patterns("adapter*"))
with torch.no_grad():
    logits = {
        "as saved": peft.PeftModel.from_pretrained(load("base"), "out/epoch_0").eval()(texts).logits,
        "with use_dora": peft.PeftModel.from_pretrained(load("base"), "said").eval()(texts).logits,
        "with use_dora and order": peft.PeftModel.from_pretrained(load("base"), "ordered").eval()(texts).logits,
        "merged weights": load("merged")(texts).logits,
    }
seen = {name: round(((x - tuned).norm() / (tuned - before).norm()).item(), 3) for name, x in logits.items()}
versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("torchtune", "peft"))
print(f"{versions}, DoRA; expected a distance of 0 from the tuned model, in sizes of the update; seen:")
for name, distance in seen.items():
    print(f"  {name}: {distance}")
if not (
    min(seen["as saved"], seen["with use_dora"]) > 0.05
    and max(seen["with use_dora and order"], seen["merged weights"]) < 0.01
):
    sys.exit("changed: the saved DoRA adapter gives the tuned model, or cannot be put right")
PY
