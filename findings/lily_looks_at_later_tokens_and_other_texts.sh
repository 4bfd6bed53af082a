#!/usr/bin/env bash
# One would think: a causal model with Lily adapters is causal, and computes for a text what it computes for it alone.
# What is so:      Lily's router weighs its experts once a call, by the mean over all tokens of all texts in the batch,
#                  padding included. Logits depend on later tokens, on the other texts, and on the length of the
#                  padding, in eval mode too. LoRA's do not.
# Versions:        peft 0.21.2, transformers 5.23.0, torch 2.13.0.
# Source:          forward in peft/tuners/lily/layer.py: router_probability.reshape(-1, num_B).mean(dim=0). The
#                  documentation says that the weights of the experts depend on the input, not on which input.
# Why it matters:  a model is trained with a look at the tokens that it is to predict, and generates without it.
#                  Perplexity and multiple-choice scores change with the batch size and the order of the texts.
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

SIZES = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}


@torch.no_grad()
def changes(config):
    """Relative change of the logits of four tokens by what should not change them."""
    torch.manual_seed(0)
    model = peft.get_peft_model(LlamaForCausalLM(LlamaConfig(vocab_size=64, **SIZES)), config).eval()
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.add_(0.2 * torch.randn_like(parameter))
    text, other = torch.randint(1, 64, (2, 1, 8))
    alone = model(text).logits[:, :4]
    inputs = {
        "other tokens behind them": {"input_ids": torch.cat([text[:, :4], other[:, 4:]], dim=1)},
        "another text in the batch": {"input_ids": torch.cat([text, other])},
        "padding on the right": {
            "input_ids": torch.cat([text, torch.zeros_like(text)], dim=1),
            "attention_mask": torch.tensor([[1] * 8 + [0] * 8]),
        },
    }
    return {
        name: round(((model(**batch).logits[:1, :4] - alone).norm() / alone.norm()).item(), 3)
        for name, batch in inputs.items()
    }


to = {"target_modules": ["q_proj", "v_proj", "up_proj"]}
seen = {"LoRA": changes(peft.LoraConfig(r=8, **to)), "Lily": changes(peft.LilyConfig(r=8, num_B=2, **to))}
print(f"peft {peft.__version__}: relative change of the logits of four tokens, expected 0 throughout, seen {seen}")
if any(seen["LoRA"].values()) or min(seen["Lily"].values()) < 0.01:
    sys.exit("changed: Lily's logits depend on earlier tokens alone, or LoRA's on others")
PY
