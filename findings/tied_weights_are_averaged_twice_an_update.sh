#!/usr/bin/env bash
# One would think: an exponential moving average moves all weights of a model at one rate.
# What is so:      timm's ModelEmaV3 moves tied weights twice an update, so the tied embedding and output head of a
#                  language model are averaged over half as many steps as the rest. ModelEmaV2 and ModelEma do the same.
# Versions:        timm 1.0.31, torch 2.13.0, transformers 5.23.0.
# Source:          timm/utils/model_ema.py goes over state_dict(), which names a tied weight twice. With
#                  exclude_buffers=True it goes over parameters(), and is right; so is AveragedModel of torch.
# Why it matters:  the model that is scored joins an embedding and a body of different times. A comparison of tied with
#                  untied models compares two averages as well.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile torch==2.13.0 transformers==5.23.0
"$work/venv/bin/pip" install --quiet --no-compile --no-deps timm==1.0.31  # its averages alone, without torchvision
cd "$work"
HF_HUB_OFFLINE=1 "$work/venv/bin/python" -W ignore - <<'PY'
import runpy
import sys
from importlib.metadata import distribution, version

import torch
import transformers
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

DECAY, UPDATES = 0.99, 50
timm = runpy.run_path(str(distribution("timm").locate_file("timm/utils/model_ema.py")))
ModelEma, ModelEmaV2, ModelEmaV3 = (timm[name] for name in ("ModelEma", "ModelEmaV2", "ModelEmaV3"))
SIZES = {"vocab_size": 16, "hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}


@torch.no_grad()
def shares(make, update):
    """Where the averages of the embedding and of the last norm are on their way from 0 to 1 after the updates."""
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**SIZES, tie_word_embeddings=True))
    for parameter in model.parameters():
        parameter.zero_()
    average = make(model)
    update(average, model)  # a first update without a change: torch's copies instead of averaging
    for parameter in model.parameters():
        parameter.fill_(1.0)
    for _ in range(UPDATES):
        update(average, model)
    inner = average.ema if isinstance(average, ModelEma) else average.module
    return tuple(round(w[..., 0].flatten()[0].item(), 3) for w in (inner.lm_head.weight, inner.model.norm.weight))


def of_timm(average, model):
    average.update(model)


seen = {
    "torch": shares(
        lambda model: AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(DECAY)),
        lambda average, model: average.update_parameters(model),
    ),
    "V3, exclude_buffers=True": shares(lambda model: ModelEmaV3(model, DECAY, exclude_buffers=True), of_timm),
    "V3": shares(lambda model: ModelEmaV3(model, DECAY), of_timm),
    "V3, foreach=False": shares(lambda model: ModelEmaV3(model, DECAY, foreach=False), of_timm),
    "V2": shares(lambda model: ModelEmaV2(model, DECAY), of_timm),
    "ModelEma": shares(lambda model: ModelEma(model, DECAY), of_timm),
}
once, twice = round(1 - DECAY**UPDATES, 3), round(1 - DECAY ** (2 * UPDATES), 3)
print(
    f"timm {version('timm')}, torch {torch.__version__}: averages of (tied embedding, norm) after {UPDATES} updates on "
    f"the way from 0 to 1, expected ({once}, {once}), seen {seen}"
)
right = {"torch", "V3, exclude_buffers=True"}
if any(pair != ((once, once) if name in right else (twice, once)) for name, pair in seen.items()):
    sys.exit("changed: tied weights are averaged as the others are")
PY
