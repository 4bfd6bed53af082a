#!/usr/bin/env bash
# One would think: Trainer's weight decay reaches the matrices of RoBERTa-PreLayerNorm as it reaches RoBERTa's.
# What is so:      no weight of the encoder or the embeddings decays, whatever weight_decay says; only the head's do.
# Versions:        transformers 5.23.0, torch 2.13.0, accelerate 1.15.0.
# Source:          get_decay_parameter_names in transformers/trainer.py leaves out each parameter whose full name
#                  contains "layernorm", and this model's weights all stand below the attribute roberta_prelayernorm.
# Why it matters:  pre- against post-LayerNorm is then a comparison of a run without decay with one with it. The same
#                  happens to any model of one's own with such a word in an outer name.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile torch==2.13.0 transformers==5.23.0 accelerate==1.15.0
cd "$work"
HF_HUB_OFFLINE=1 "$work/venv/bin/python" -W ignore - <<'PY'
import sys

import transformers
from transformers import (
    RobertaConfig,
    RobertaForSequenceClassification,
    RobertaPreLayerNormConfig,
    RobertaPreLayerNormForSequenceClassification,
    Trainer,
    TrainingArguments,
)

sizes = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}
models = {
    "RoBERTa": RobertaForSequenceClassification(RobertaConfig(**sizes)),
    "RoBERTa-PreLayerNorm": RobertaPreLayerNormForSequenceClassification(RobertaPreLayerNormConfig(**sizes)),
}
seen = {}
for name, model in models.items():
    optimizer = Trainer(model, TrainingArguments("out", weight_decay=0.1, report_to=[])).create_optimizer()
    decayed = {id(p) for group in optimizer.param_groups if group["weight_decay"] > 0 for p in group["params"]}
    matrices = [p for p in model.base_model.parameters() if p.ndim == 2]
    seen[name] = (sum(id(p) in decayed for p in matrices), len(matrices))
print(
    f"transformers {transformers.__version__}: matrices of encoder and embeddings that decay, of how many; "
    f"expected all, seen {seen}"
)
if seen != {"RoBERTa": (15, 15), "RoBERTa-PreLayerNorm": (0, 15)}:
    sys.exit("changed: the matrices of RoBERTa-PreLayerNorm decay, or those of RoBERTa do not")
PY
