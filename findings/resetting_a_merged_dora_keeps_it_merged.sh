#!/usr/bin/env bash
# One would think: `reset_adapter()` takes a merged adapter out of the weights again, whatever its kind.
# What is so:      of LoRA and (IA)^3 it does. Of DoRA it computes the pretrained weights and drops them: the adapter stays
#                  in the weights for good, while no adapter is listed as merged any more.
# Versions:        adapters 1.3.0, torch 2.13.0, transformers 4.57.6.
# Source:          LoRALinear.reset_adapter (adapters/methods/lora.py) gives the result to a local name.
# Why it matters:  whoever merges adapters in turn into one model, to measure each without its cost, measures all but the
#                  first one on top of the others.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile torch==2.13.0 transformers==4.57.6 adapters==1.3.0
cd "$work"
HF_HUB_OFFLINE=1 "$work/venv/bin/python" -W ignore - <<'PY'
import sys

import adapters
import torch
from adapters import IA3Config, LoRAConfig
from transformers import LlamaConfig, LlamaModel, logging

logging.set_verbosity_error()
SIZES = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2, "num_key_value_heads": 2}


@torch.no_grad()
def left(settings):
    """How much an adapter changes the hidden states, and how much of that is left after a merge and a reset."""
    torch.manual_seed(0)
    model = LlamaModel(LlamaConfig(vocab_size=64, num_hidden_layers=1, **SIZES)).eval()
    ids = torch.randint(3, 60, (2, 7))
    pretrained = model(ids).last_hidden_state
    adapters.init(model)
    model.add_adapter("tuned", config=settings)
    model.set_active_adapters("tuned")
    for name, value in model.named_parameters():
        if name.endswith((".lora_A", ".lora_B")):
            value += 0.2 * torch.randn_like(value)
    effect = (model(ids).last_hidden_state - pretrained).abs().max().item()
    model.merge_adapter("tuned")
    merged = (model(ids).last_hidden_state - pretrained).abs().max().item()
    model.reset_adapter()
    model.set_active_adapters(None)
    after = (model(ids).last_hidden_state - pretrained).abs().max().item()
    assert abs(merged - effect) < 1e-5
    return effect, after


seen = {
    "LoRA": left(LoRAConfig(r=4, alpha=4)),
    "DoRA": left(LoRAConfig(r=4, alpha=4, use_dora=True)),
    "(IA)^3": left(IA3Config()),
}
told = {name: f"{after:.1e} of {effect:.1e}" for name, (effect, after) in seen.items()}
print(f"adapters {adapters.__version__}: left of an adapter after merge and reset, expected 0 for all, seen {told}")
gone = all(seen[name][1] < 1e-5 for name in ("LoRA", "(IA)^3"))
if not gone or abs(seen["DoRA"][1] - seen["DoRA"][0]) > 1e-5:
    sys.exit("changed: a merged DoRA adapter no longer stays in the weights after reset_adapter()")
PY
