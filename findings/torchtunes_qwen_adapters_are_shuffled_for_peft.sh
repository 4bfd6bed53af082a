#!/usr/bin/env bash
# One would think: the adapter that torchtune saves in PEFT's format gives the tuned model in peft.
# What is so:      for Qwen2 the rows of q_proj's and k_proj's B come in another order. The file loads without a word,
#                  and most of what was learned is gone: of an adapter on q_proj and v_proj 91 %, and the loss is
#                  4.05, not 1.64. With the rows put back it is right; so are an adapter on v_proj alone, the merged
#                  model that is saved beside it, and Llama's adapters.
# Versions:        torchtune 0.6.1 (torchao 0.9.0), peft 0.21.2, torch 2.13.0, transformers 5.23.0.
# Source:          save_checkpoint in torchtune/training/checkpointing/_checkpointer.py calls
#                  tune_to_peft_adapter_weights for all models but Phi and Llama Vision. That undoes torchtune's
#                  interleaved rotary order, which Qwen2 does not use there: qwen2_tune_to_hf leaves the rows as they
#                  are.
# Why it matters:  the adapter is the small file that is shared. What is measured from it is a shuffled Qwen2 adapter.
#                  Use the merged weights, or permute the rows back.
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
"""Tune a tiny Qwen2 with torchtune, and save it as its recipe for LoRA does."""
import torch
from torchtune import training
from torchtune.models.qwen2 import lora_qwen2
from torchtune.modules.peft import (
    get_adapter_params,
    get_adapter_state_dict,
    get_merged_lora_ckpt,
    set_trainable_params,
)
from torchtune.training import FullModelHFCheckpointer
from transformers import Qwen2Config, Qwen2ForCausalLM

HEADS = dict(num_heads=4, num_kv_heads=2, embed_dim=64, intermediate_dim=64)
size = dict(num_attention_heads=4, num_key_value_heads=2, hidden_size=64, intermediate_size=64, vocab_size=64)
torch.manual_seed(0)
config = Qwen2Config(
    **size,
    num_hidden_layers=2,
    rms_norm_eps=1e-6,
    initializer_range=0.15,
    rope_parameters={"rope_type": "default", "rope_theta": 1e6},
)
Qwen2ForCausalLM(config).save_pretrained("base")
texts = torch.randint(64, (8, 16))


def tune(folder, modules):
    checkpointer = FullModelHFCheckpointer("base", ["model.safetensors"], "QWEN2", folder)
    torch.manual_seed(0)
    model = lora_qwen2(
        modules,
        **HEADS,
        vocab_size=64,
        num_layers=2,
        max_seq_len=128,
        norm_eps=1e-6,
        rope_base=1e6,
        lora_rank=4,
        lora_alpha=8,
        tie_word_embeddings=False,
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


tune("qv", ["q_proj", "v_proj"])
tune("v", ["v_proj"])
PY
"$work/venv/bin/python" -W ignore - 2> errors <<'PY' || { tail -n 20 errors >&2; exit 1; }
import importlib.metadata
import shutil
import sys

import peft
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM


def load(folder):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def put_back(name, value):
    """B of q_proj or k_proj in the order of the base's rows: undo the change from pairs to halves of each head."""
    if "lora_B" not in name or not ("q_proj" in name or "k_proj" in name):
        return value
    return value.view(-1, 2, 8, value.shape[1]).transpose(1, 2).reshape(value.shape).contiguous()


def measured(folder):
    """For each way to load: distance from the tuned model over the size of the update, and loss on the texts."""
    texts, before, tuned = torch.load(f"{folder}.pt")
    saved = f"{folder}/epoch_0"
    shutil.copytree(saved, f"{folder}/back")
    weights = load_file(f"{saved}/adapter_model.safetensors")
    weights = {name: put_back(name, value) for name, value in weights.items()}
    save_file(weights, f"{folder}/back/adapter_model.safetensors")
    shutil.copytree(saved, f"{folder}/merged", ignore=shutil.ignore_patterns("adapter*"))
    logits = {"tuned": tuned}
    with torch.no_grad():
        logits["adapter"] = peft.PeftModel.from_pretrained(load("base"), saved).eval()(texts).logits
        logits["put back"] = peft.PeftModel.from_pretrained(load("base"), f"{folder}/back").eval()(texts).logits
        logits["merged"] = load(f"{folder}/merged")(texts).logits
    seen = {}
    for name, x in logits.items():
        loss = torch.nn.functional.cross_entropy(x[:, :-1].flatten(0, 1), texts[:, 1:].flatten()).item()
        seen[name] = round(((x - tuned).norm() / (tuned - before).norm()).item(), 3), round(loss, 2)
    return seen


seen = {"q_proj and v_proj": measured("qv"), "v_proj": measured("v")}
versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("torchtune", "peft"))
print(f"{versions}, Qwen2; expected a distance of 0 from the tuned model, in sizes of the update, and its loss; seen:")
for modules, ways in seen.items():
    for name, pair in ways.items():
        print(f"  {modules}, {name}: {pair}")
both, single = seen["q_proj and v_proj"], seen["v_proj"]
if not (
    both["adapter"][0] > 0.3
    and both["adapter"][1] > both["tuned"][1] + 1
    and max(both["put back"][0], both["merged"][0]) < 0.01
    and max(x for x, _ in single.values()) < 0.01
):
    sys.exit("changed: the adapter of Qwen2 gives the tuned model, or the merged one does not")
PY
