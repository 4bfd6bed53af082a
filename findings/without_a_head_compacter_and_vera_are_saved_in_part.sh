#!/usr/bin/env bash
# One would think: save_adapter() saves all of an adapter, whichever class the model has.
# What is so:      from a model without a head (AutoModel) it leaves out what the layers share: the trained rule of a
#                  Compacter, and the random matrices of VeRA. The loaded adapter has new random ones. From a model with
#                  a head both are saved. Nothing is raised.
# Versions:        adapters 1.3.0, torch 2.13.0, transformers 4.57.6.
# Source:          filter_func of AdapterLoader (adapters/loading.py) looks for ".shared_parameters.NAME." with a point
#                  before it. In a model without a head the name begins with "shared_parameters".
# Why it matters:  sentence encoders and probes are tuned without a head. VeRA's vectors mean nothing beside other
#                  matrices.
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
from adapters import CompacterConfig, LoRAConfig, VeraConfig
from transformers import BertConfig, BertForSequenceClassification, BertModel

logging.disable(logging.WARNING)
SIZES = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
texts = torch.randint(5, 64, (3, 8))


def build(model_class):
    torch.manual_seed(0)
    model = model_class(BertConfig(vocab_size=64, **SIZES)).eval()
    adapters.init(model)
    return model


@torch.no_grad()
def difference(model_class, config):
    """Difference of the outputs before saving and after loading, over the adapter's effect."""
    model = build(model_class)
    base = model(texts)[0]
    model.add_adapter("tuned", config=config, set_active=True)
    model.eval()
    for key, parameter in model.named_parameters():
        if "tuned." in key and parameter.requires_grad:
            parameter.add_(0.3 * torch.randn_like(parameter))
    tuned = model(texts)[0]
    model.save_adapter("saved", "tuned")
    fresh = build(model_class)
    torch.manual_seed(1)
    fresh.load_adapter("saved", set_active=True)
    loaded = fresh.eval()(texts)[0]
    return round(((loaded - tuned).norm() / (tuned - base).norm()).item(), 3)


configs = {"LoRA": LoRAConfig(r=4), "Compacter": CompacterConfig(phm_dim=2, reduction_factor=4), "VeRA": VeraConfig()}
seen = {
    model_class.__name__: {name: difference(model_class, config) for name, config in configs.items()}
    for model_class in (BertForSequenceClassification, BertModel)
}
print(
    f"adapters {adapters.__version__}: difference of the loaded adapter over its effect, expected 0.0 throughout, seen "
    f"{seen}"
)
bare = seen["BertModel"]
if any(seen["BertForSequenceClassification"].values()) or bare["LoRA"] or min(bare["Compacter"], bare["VeRA"]) < 0.01:
    sys.exit("changed: shared weights are saved without a head, or not with one")
PY
