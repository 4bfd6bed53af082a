#!/usr/bin/env bash
# One would think: `parametrizations.orthogonal` keeps a matrix orthogonal, whatever the optimiser does to its parameter;
#                  weight decay at most acts like a rotation, or does nothing.
# What is so:      one step with any weight decay, AdamW's usual 0.01 for example, makes the matrix zero, if it is computed
#                  by Householder reflections. This is the default of every matrix that is not square. LoReFT of `adapters`
#                  has such matrices: after the first step the trained model is the pretrained one, and no gradient
#                  comes any more.
# Versions:        torch 2.13.0, adapters 1.3.0, transformers 4.57.6.
# Source:          _Orthogonal.forward (torch/nn/utils/parametrizations.py) keeps the signs of the columns, 1 and -1, on the
#                  diagonal of the parameter, and cuts them to integers: 0.9999 counts as 0.
# Why it matters:  LoReFT, or any layer with orthonormal rows, trained with AdamW as it comes learns nothing from the
#                  second step on, and raises no error; it looks like a method that does not work.
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
from adapters import LoReftConfig
from torch import nn
from transformers import LlamaConfig, LlamaModel, logging

logging.set_verbosity_error()
SIZES = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2, "num_key_value_heads": 2}


def off(shape, decay, orthogonal_map=None):
    """How far the rows of a layer are from orthonormal after one step of AdamW."""
    torch.manual_seed(0)
    layer = nn.utils.parametrizations.orthogonal(nn.Linear(*shape, bias=False), orthogonal_map=orthogonal_map)
    optimiser = torch.optim.AdamW(layer.parameters(), lr=1e-3, weight_decay=decay)
    layer(torch.randn(8, shape[0])).square().mean().backward()
    optimiser.step()
    rows = layer.weight.detach()
    return (rows @ rows.T - torch.eye(shape[1])).abs().max().item(), rows.abs().max().item()


def learned(**settings):
    """What LoReFT has changed of the hidden states after 20 steps of AdamW."""
    torch.manual_seed(0)
    model = LlamaModel(LlamaConfig(vocab_size=64, num_hidden_layers=2, **SIZES))
    ids = torch.randint(3, 60, (4, 7))
    with torch.no_grad():
        pretrained = model(ids).last_hidden_state
    adapters.init(model)
    model.add_adapter("tuned", config=LoReftConfig())
    model.train_adapter("tuned")
    optimiser = torch.optim.AdamW([one for one in model.parameters() if one.requires_grad], lr=1e-3, **settings)
    for _ in range(20):
        optimiser.zero_grad()
        model(ids).last_hidden_state.square().mean().backward()
        optimiser.step()
    model.eval()
    with torch.no_grad():
        return (model(ids).last_hidden_state - pretrained).abs().max().item()


usual = {name: off(shape, 0.01) for name, shape in {"4 x 16": (16, 4), "16 x 16": (16, 16)}.items()}
usual["4 x 16, matrix_exp"] = off((16, 4), 0.01, "matrix_exp")
without = off((16, 4), 0.0)
told = {name: f"{away:.1e} (largest entry {largest:.1e})" for name, (away, largest) in usual.items()}
print(f"torch {torch.__version__}: away from orthonormal after a step of AdamW, expected 0, seen {told}")
effect = {"as it comes": learned(), "weight_decay=0": learned(weight_decay=0.0)}
print(f"adapters {adapters.__version__}: changed by LoReFT after 20 steps of AdamW, expected alike, seen {effect}")
if usual["4 x 16"] != (1.0, 0.0) or without[0] > 1e-5 or max(usual[name][0] for name in list(usual)[1:]) > 1e-5:
    sys.exit("changed: one step with weight decay no longer makes just the matrix that is not square zero")
if effect["as it comes"] != 0 or effect["weight_decay=0"] < 1e-3:
    sys.exit("changed: LoReFT trained with AdamW as it comes is no longer the pretrained model")
PY
