#!/usr/bin/env bash
# One would think: in a merge of slices the final norm and the output head belong to the last slice. Where that merges
#                  two models, they are merged.
# What is so:      if the first slice has one model, norm and head are those of the last slice's first model alone. No
#                  line of the log says so. A merge of the whole models averages them.
# Versions:        mergekit 0.1.5, transformers 5.23.0, torch 2.13.0.
# Source:          mergekit/plan.py: plan_module pairs the weights after the last layer with the models of the last
#                  slice, but makes as many of them as the first slice has models; zip drops the rest.
# Why it matters:  keeping the lower layers of one model and merging the upper ones is common. The upper layers are then
#                  read through a norm and a head that they were not merged with. Listing the other model in the first
#                  slice with weight 0 gives the average.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile torch==2.13.0 transformers==5.23.0 mergekit==0.1.5
cd "$work"
HF_HUB_OFFLINE=1 "$work/venv/bin/python" -W ignore - <<'PY'
import sys
from importlib.metadata import version

import torch
import transformers
from mergekit.config import MergeConfiguration
from mergekit.merge import run_merge
from mergekit.options import MergeOptions

transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()
SIZES = {"vocab_size": 64, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
models = {}
for seed, name in enumerate(("a", "b")):
    torch.manual_seed(seed)
    models[name] = transformers.LlamaForCausalLM(transformers.LlamaConfig(**SIZES))
    with torch.no_grad():
        for parameter in models[name].parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    models[name].save_pretrained(name)


def source(model, layer, weight=1.0):
    return {"model": model, "layer_range": [layer, layer + 1], "parameters": {"weight": weight}}


def share_of_b(out, slices=None):
    """Share of model b in the norm of the last layer, in the final norm and in the head of the merged model."""
    parts = {"models": [{"model": name, "parameters": {"weight": 1.0}} for name in ("a", "b")]}
    if slices:
        parts = {"slices": [{"sources": sources} for sources in slices]}
    config = MergeConfiguration.model_validate({"merge_method": "linear", "dtype": "float32", **parts})
    run_merge(config, out, MergeOptions(copy_tokenizer=False, write_model_card=False, quiet=True))
    merged = transformers.LlamaForCausalLM.from_pretrained(out).state_dict()
    row = []
    for name in ("model.layers.1.input_layernorm.weight", "model.norm.weight", "lm_head.weight"):
        a, b = (models[key].state_dict()[name] for key in ("a", "b"))
        row.append(round((((merged[name] - a) * (b - a)).sum() / (b - a).square().sum()).item(), 3))
    return row


upper = [source("a", 1), source("b", 1)]
seen = {
    "whole models": share_of_b("whole"),
    "slices, first of a, last of a and b": share_of_b("one", [[source("a", 0)], upper]),
    "the same, b in the first with weight 0": share_of_b("two", [[source("a", 0), source("b", 0, 0.0)], upper]),
}
print(
    f"mergekit {version('mergekit')}: share of model b in [norm of the last layer, final norm, head], expected "
    f"[0.5, 0.5, 0.5] throughout, seen {seen}"
)
if list(seen.values()) != [[0.5, 0.5, 0.5], [0.5, 0.0, 0.0], [0.5, 0.5, 0.5]]:
    sys.exit("changed: the final norm and the head are merged as the last slice is, or otherwise than stated")
PY
