#!/usr/bin/env bash
# One would think: texts packed into one row, with position_ids that begin anew for each, are kept apart by the
#                  attention mask that transformers 5 makes from them (sdpa and eager too), in any forward pass
#                  without a mask.
# What is so:      only while no cache is made. With use_cache, the models' default, each text sees those before it,
#                  in training and evaluation alike. OPT and Falcon never keep them apart.
# Versions:        transformers 5.23.0, torch 2.13.0.
# Source:          the masks of transformers/masking_utils.py look for packed texts only if past_key_values is None;
#                  the models make an empty cache before the mask. Trainer sets use_cache to False, so its runs are
#                  right.
# Why it matters:  the same packed batch has another loss in a loop of one's own (or Lightning) than in Trainer, and a
#                  packed evaluation set leaks each text into the next.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile torch==2.13.0 transformers==5.23.0
cd "$work"
HF_HUB_OFFLINE=1 "$work/venv/bin/python" -W ignore - <<'PY'
import sys

import torch
import transformers
from transformers import AutoModelForCausalLM, FalconConfig, GPT2Config, LlamaConfig, OPTConfig

sizes = {
    "vocab_size": 64,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
configs = {
    "Llama": LlamaConfig(intermediate_size=64, **sizes),
    "GPT-2": GPT2Config(vocab_size=64, n_embd=32, n_layer=2, n_head=4, bos_token_id=1, eos_token_id=2),
    "OPT": OPTConfig(ffn_dim=64, word_embed_proj_dim=32, **sizes),
    "Falcon": FalconConfig(**sizes),
}
first, second = torch.arange(3, 11), torch.arange(20, 30)
packed = torch.cat([first, second])[None]
positions = torch.cat([torch.arange(len(first)), torch.arange(len(second))])[None]
seen = {}
for name, config in configs.items():
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        alone = model(input_ids=second[None]).logits
        for label, options in (("default", {}), ("use_cache=False", {"use_cache": False})):
            logits = model(input_ids=packed, position_ids=positions, **options).logits[:, len(first) :]
            seen.setdefault(name, {})[label] = round(((logits - alone).norm() / alone.norm()).item(), 3)
print(
    f"transformers {transformers.__version__}: change of the second text's logits by the first, expected 0 everywhere, "
    f"seen {seen}"
)
leaks = {name: tuple(value > 0.01 for value in row.values()) for name, row in seen.items()}
if leaks != {"Llama": (True, False), "GPT-2": (True, False), "OPT": (True, True), "Falcon": (True, True)}:
    sys.exit("changed: packed texts are kept apart elsewhere than before")
PY
