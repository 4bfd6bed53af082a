#!/usr/bin/env bash
# One would think: LLaMA-Adapter V2 in litgpt trains all norms of a model, as the method says and as it does on Llama.
# What is so:      norms of later architectures stay frozen: those of queries and keys, and those after a sublayer. 5 of
#                  9 norms are trained on Qwen3 and Gemma 2, 5 of 13 on Gemma 3, and 1 of 9 on OLMo 2, which has no
#                  others within a block.
# Versions:        litgpt 0.5.13, torch 2.13.0.
# Source:          litgpt/adapter_v2.py: adapter_filter knows the names norm_1, norm_2 and ln_f. norm_q, norm_k,
#                  post_attention_norm and post_mlp_norm were added to the model later.
# Why it matters:  a comparison of models, or of this method with the tuning of norms, compares different methods by
#                  architecture. No log line tells.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile torch==2.13.0 litgpt==0.5.13
cd "$work"
HF_HUB_OFFLINE=1 "$work/venv/bin/python" -W ignore - <<'PY'
import sys
from importlib.metadata import version

from litgpt.adapter_v2 import GPT, Config, mark_only_adapter_v2_as_trainable

SIZES = {
    "n_layer": 2, "n_embd": 64, "n_head": 4, "n_query_groups": 4, "head_size": 16, "intermediate_size": 64,
    "vocab_size": 64, "padded_vocab_size": 64, "block_size": 32,
}  # fmt: skip
EXPECTED = {
    "pythia-14m": "10 of 10",
    "Llama-3.2-1B": "5 of 5",
    "Qwen3-0.6B": "5 of 9",
    "Gemma-2-2b": "5 of 9",
    "Gemma-3-1b-it": "5 of 13",
    "OLMo-2-1124-7B": "1 of 9",
}


def trained(name):
    """How many of a model's norm parameters are trained, the model with two small blocks."""
    model = GPT(Config.from_name(name, **SIZES))
    mark_only_adapter_v2_as_trainable(model)
    norms = [
        parameter.requires_grad
        for module in model.modules()
        if "Norm" in type(module).__name__
        for parameter in module.parameters(recurse=False)
    ]
    return f"{sum(norms)} of {len(norms)}"


seen = {name: trained(name) for name in EXPECTED}
print(f"litgpt {version('litgpt')}: norm parameters that Adapter V2 trains, expected all, seen {seen}")
if seen != EXPECTED:
    sys.exit("changed: other norms are trained")
PY
