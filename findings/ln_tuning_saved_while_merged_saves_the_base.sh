#!/usr/bin/env bash
# One would think: save_pretrained of a merged adapter saves the adapter, since merging changes the base only: it does
#                  for LoRA and IA3.
# What is so:      LN tuning merges by swapping the two norms. While merged, the adapter's place holds the base's
#                  norms, and these are what is saved: the file loads without a warning and changes nothing. The
#                  training is lost.
# Versions:        peft 0.21.2, torch 2.13.0, transformers 5.23.0.
# Source:          LNTuningLayer.merge in peft/tuners/ln_tuning/layer.py exchanges base_layer and the adapter's copy;
#                  get_peft_model_state_dict does not ask whether the adapter is merged.
# Why it matters:  merging before the evaluation and saving after it is a common order. The next run then scores the
#                  base and reports that LayerNorm tuning does nothing. Unmerge first.
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
methods = {
    "LoRA": peft.LoraConfig(target_modules=["q_proj"], init_lora_weights=False),
    "IA3": peft.IA3Config(target_modules=["k_proj"], feedforward_modules=[], init_ia3_weights=False),
    "LN tuning": peft.LNTuningConfig(target_modules=["input_layernorm"]),
}
text = torch.arange(1, 9)[None]


def logits(model):
    with torch.no_grad():
        return model.eval()(input_ids=text).logits


def base():
    torch.manual_seed(0)
    return LlamaForCausalLM(config)


def kept(method, merge):
    """Whether the adapter gives the same logits after saving and loading; and whether the base alone does."""
    model = peft.get_peft_model(base(), method)
    for parameter in model.parameters():
        if parameter.requires_grad:
            torch.nn.init.uniform_(parameter, 0.5, 1.5)
    trained = logits(model)
    if merge:
        model.merge_adapter()
    model.save_pretrained("adapter")
    loaded = logits(peft.PeftModel.from_pretrained(base(), "adapter"))
    return (
        "trained"
        if torch.allclose(loaded, trained, atol=1e-5)
        else "base"
        if torch.equal(loaded, logits(base()))
        else "other"
    )


seen = {name: {"unmerged": kept(method, False), "merged": kept(method, True)} for name, method in methods.items()}
print(f"peft {peft.__version__}: what a saved adapter gives when loaded, expected 'trained' throughout, seen {seen}")
expected = {name: {"unmerged": "trained", "merged": "trained"} for name in methods}
expected["LN tuning"]["merged"] = "base"
if seen != expected:
    sys.exit("changed: LN tuning saved while merged no longer gives the base, or another method does")
PY
