#!/usr/bin/env bash
# One would think: two libraries' (IA)^3 with the same trained vectors compute the same: keys, values, and the hidden
#                  values of the feed-forward network after its activation, are multiplied (Liu et al. 2022, section 3.3).
# What is so:      in `adapters` the third vector multiplies before the activation. HF peft follows the paper.
# Versions:        adapters 1.3.0, torch 2.13.0, transformers 4.57.6, peft 0.21.2.
# Source:          adapters puts the vector on the output of `intermediate.dense`; peft on the input of `output.dense`.
# Why it matters:  scores of (IA)^3 from the two are of two methods, with equal counts of parameters, and vectors that are
#                  carried over change their meaning silently. With ReLU and positive factors both are the same.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile torch==2.13.0 transformers==4.57.6 adapters==1.3.0 peft==0.21.2
cd "$work"
HF_HUB_OFFLINE=1 "$work/venv/bin/python" -W ignore - <<'PY'
import sys

import adapters
import peft
import torch
from adapters import IA3Config
from transformers import BertConfig, BertModel, logging

logging.set_verbosity_error()
SIZES = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
FACTORS = 2 * torch.rand(32, generator=torch.Generator().manual_seed(1))


def bert(activation):
    torch.manual_seed(0)
    return BertModel(BertConfig(vocab_size=64, hidden_act=activation, **SIZES), add_pooling_layer=False).eval()


@torch.no_grad()
def by_adapters(activation, ids):
    model = bert(activation)
    adapters.init(model)
    model.add_adapter("tuned", config=IA3Config())
    model.set_active_adapters("tuned")
    model.encoder.layer[0].intermediate.dense.loras["tuned"].lora_B.copy_(FACTORS[:, None])
    return model(ids).last_hidden_state


@torch.no_grad()
def by_peft(activation, ids):
    layers = ["key", "value", "output.dense"]
    model = peft.get_peft_model(
        bert(activation), peft.IA3Config(target_modules=layers, feedforward_modules=["output.dense"])
    )
    for name, value in model.named_parameters():
        if "ia3_l" in name and value.numel() == 32:
            value.copy_(FACTORS[None])
    return model(ids).last_hidden_state


ids = torch.randint(3, 60, (2, 7), generator=torch.Generator().manual_seed(2))
with torch.no_grad():
    change = {one: (by_peft(one, ids) - bert(one)(ids).last_hidden_state).abs().max().item() for one in ("gelu", "relu")}
away = {one: (by_peft(one, ids) - by_adapters(one, ids)).abs().max().item() for one in ("gelu", "relu")}
print(
    f"adapters {adapters.__version__}, peft {peft.__version__}: difference of hidden states, expected 0, seen "
    f"{away['gelu']:.1e} with GELU (the vector itself changes them by {change['gelu']:.1e}), {away['relu']:.1e} with ReLU"
)
if away["gelu"] < 1e-4 or away["relu"] > 1e-5 or change["gelu"] < 1e-3:
    sys.exit("changed: (IA)^3 of adapters and peft no longer differ before an activation that is not ReLU")
PY
