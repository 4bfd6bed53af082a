#!/usr/bin/env bash
# One would think: Trainer keeps weight decay from every norm, and from what Mamba's authors exempt: A_log and D.
# What is so:      it goes by names. Each block's norm is exempt; the last norm is called norm_f, which matches no
#                  pattern (and is no nn.LayerNorm), so its gain of 1 is pulled to 0, as are D (a skip connection of
#                  1) and A_log.
# Versions:        transformers 5.23.0, torch 2.13.0, accelerate 1.15.0.
# Source:          get_decay_parameter_names in transformers/trainer.py; names in
#                  transformers/models/mamba/modeling_mamba.py. Falcon-Mamba, Mamba-2 and Nemotron-H have a norm_f
#                  too.
# Why it matters:  tuning only norms or a few vectors of a state-space model, with decay on, shrinks the last gain at
#                  each step while those below it are free; Mamba's own training code marks A_log and D as not to
#                  decay.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile torch==2.13.0 transformers==5.23.0 accelerate==1.15.0
cd "$work"
HF_HUB_OFFLINE=1 "$work/venv/bin/python" -W ignore - <<'PY'
import sys

import transformers
from transformers import MambaConfig, MambaForCausalLM, Trainer, TrainingArguments

model = MambaForCausalLM(MambaConfig(vocab_size=64, hidden_size=32, state_size=4, num_hidden_layers=1))
optimizer = Trainer(model, TrainingArguments("out", weight_decay=0.1, report_to=[])).create_optimizer()
decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
wanted = ("layers.0.norm.weight", "norm_f.weight", "mixer.D", "mixer.A_log")
seen = {part: decay[id(p)] for part in wanted for name, p in model.named_parameters() if name.endswith(part)}
print(f"transformers {transformers.__version__}: decay at weight_decay=0.1, expected 0 for all four, seen {seen}")
if list(seen.values()) != [0.0, 0.1, 0.1, 0.1]:
    sys.exit("changed: norm_f, D or A_log no longer decays, or the block's norm does")
PY
