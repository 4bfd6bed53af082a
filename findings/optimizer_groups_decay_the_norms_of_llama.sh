#!/usr/bin/env bash
# One would think: get_optimizer_parameters of pytorch-optimizer, which parts decayed parameters from norms and biases,
#                  leaves out the norms of each model, as torch-optimi's param_groups_weight_decay does.
# What is so:      it knows the words "bias" and "LayerNorm". All norms of Llama, Qwen3 and Gemma 3 (RMSNorm) decay;
#                  those of BERT, GPT-2 and T5 (T5LayerNorm) do not.
# Versions:        pytorch-optimizer 4.1.0, torch-optimi 0.3.3, transformers 5.23.0, torch 2.13.0.
# Source:          wd_ban_list of get_optimizer_parameters in pytorch_optimizer/optimizer/__init__.py, compared with
#                  the names of parameters and of classes.
# Why it matters:  tuning the norms of Llama alone with it pulls every gain to 0 (to 1 on Gemma), at a rate of the
#                  decay; a comparison of BERT with Llama compares two kinds of decay as well.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile \
    pytorch-optimizer==4.1.0 torch-optimi==0.3.3 torch==2.13.0 transformers==5.23.0
cd "$work"
HF_HUB_OFFLINE=1 "$work/venv/bin/python" -W ignore - <<'PY'
import sys
from importlib.metadata import version

import optimi
import pytorch_optimizer
import transformers
from transformers import AutoConfig, AutoModel

transformers.utils.logging.set_verbosity_error()
size = {"vocab_size": 64, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4}
options = {
    "bert": size,
    "gpt2": {"vocab_size": 64, "n_embd": 32, "n_layer": 1, "n_head": 4},
    "t5": {"vocab_size": 64, "d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 1, "num_heads": 4},
    "llama": size,
    "qwen3": size | {"num_key_value_heads": 4, "head_dim": 8},
    "gemma3_text": size | {"num_key_value_heads": 4, "head_dim": 8},
}
libraries = {
    "pytorch-optimizer": pytorch_optimizer.get_optimizer_parameters,
    "torch-optimi": optimi.param_groups_weight_decay,
}
seen = {name: {} for name in libraries}
for architecture, values in options.items():
    model = AutoModel.from_config(AutoConfig.for_model(architecture, **values))
    norms = {
        id(parameter)
        for module in model.modules()
        if "Norm" in type(module).__name__
        for parameter in module.parameters(recurse=False)
    }
    for name, groups_of in libraries.items():
        decayed = [p for group in groups_of(model, weight_decay=0.1) if group["weight_decay"] for p in group["params"]]
        seen[name][architecture] = f"{len(norms & {id(p) for p in decayed})} of {len(norms)}"
print(
    f"pytorch-optimizer {version('pytorch-optimizer')}, torch-optimi {version('torch-optimi')}: norm parameters that "
    f"decay, expected none, seen {seen}"
)
if not (
    all(text.startswith("0 of") for text in seen["torch-optimi"].values())
    and all(seen["pytorch-optimizer"][name].startswith("0 of") for name in ("bert", "gpt2", "t5"))
    and seen["pytorch-optimizer"]["llama"] == "3 of 3"
    and seen["pytorch-optimizer"]["qwen3"] == "5 of 5"
    and seen["pytorch-optimizer"]["gemma3_text"] == "7 of 7"
):
    sys.exit("changed: other norms decay")
PY
