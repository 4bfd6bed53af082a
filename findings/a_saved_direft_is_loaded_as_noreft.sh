#!/usr/bin/env bash
# One would think: a DiReFT adapter that was saved and loaded computes what it computed before.
# What is so:      it comes back as NoReFT: the input's projection is subtracted, which DiReFT is defined by leaving
#                  out. All weights are right, nothing is logged. LoReFT and NoReFT come back as they were.
# Versions:        adapters 1.3.0, torch 2.13.0, transformers 4.57.6.
# Source:          subtract_projection in ReftConfig (adapters/configuration/adapter_config.py) has no annotation, so it
#                  is no field of the dataclass and is not written to the file; the loader's default is True.
# Why it matters:  a model scores otherwise after a restart, and a checkpoint that Trainer loads as the best one does
#                  too.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile torch==2.13.0 transformers==4.57.6 adapters==1.3.0
cd "$work"
HF_HUB_OFFLINE=1 "$work/venv/bin/python" -W ignore - <<'PY'
import logging
import sys

import adapters
import torch
from adapters import DiReftConfig, LoReftConfig, NoReftConfig
from transformers import BertConfig, BertForSequenceClassification

logging.disable(logging.WARNING)
SIZES = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
texts = torch.randint(5, 64, (3, 8))


def classifier():
    torch.manual_seed(0)
    model = BertForSequenceClassification(BertConfig(vocab_size=64, **SIZES)).eval()
    adapters.init(model)
    return model


@torch.no_grad()
def difference(config):
    """Difference of the logits before saving and after loading, over the adapter's effect."""
    model = classifier()
    base = model(texts).logits
    model.add_adapter("tuned", config=config, set_active=True)
    model.eval()
    for key, parameter in model.named_parameters():
        if ".tuned." in key and "parametrizations" not in key:
            parameter.add_(0.3 * torch.randn_like(parameter))
    tuned = model(texts).logits
    model.save_adapter("saved", "tuned")
    fresh = classifier()
    fresh.load_adapter("saved", set_active=True)
    loaded = fresh.eval()(texts).logits
    return round(((loaded - tuned).norm() / (tuned - base).norm()).item(), 3)


configs = {"LoReFT": LoReftConfig(), "NoReFT": NoReftConfig(), "DiReFT": DiReftConfig()}
seen = {name: difference(config) for name, config in configs.items()}
print(
    f"adapters {adapters.__version__}: difference of the loaded adapter over its effect, expected 0.0 throughout, seen "
    f"{seen}"
)
if seen["LoReFT"] or seen["NoReFT"] or seen["DiReFT"] < 0.05:
    sys.exit("changed: DiReFT is loaded as it was saved, or the others are not")
PY
