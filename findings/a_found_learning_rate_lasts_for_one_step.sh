#!/usr/bin/env bash
# One would think: training goes on with the rate that the LearningRateFinder callback has found, whatever the schedule,
#                  and parameter groups keep their ratio.
# What is so:      with a LambdaLR, as all of transformers' schedules with warmup are, or a OneCycleLR the rate found is
#                  used for one step; from the second on the run has the rate it began with. module.lr and the log say
#                  the rate found. Groups with a rate of their own all get the same one. Tuner.lr_find before fit is
#                  right in both, as the optimiser is then made anew.
# Versions:        pytorch-lightning 2.6.6, torch 2.13.0.
# Source:          _lr_find in pytorch_lightning/tuner/lr_finder.py writes the rate found into each group's "lr". The
#                  schedulers compute from base_lrs or the group's "max_lr", which were set when they were made.
#                  Schedulers that multiply the last rate, such as CosineAnnealingLR, keep it.
# Why it matters:  a search for the rate is then done, reported and not used; heads and adapters lose their higher rate.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile torch==2.13.0 pytorch-lightning==2.6.6
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import logging
import sys

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import LearningRateFinder
from pytorch_lightning.tuner import Tuner
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, OneCycleLR
from torch.utils.data import DataLoader, TensorDataset

logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
steps, start = 100, 1e-2
inputs = torch.randn(10 * steps, 4, generator=torch.Generator().manual_seed(0))
data = TensorDataset(inputs, inputs.sum(1, keepdim=True))
schedules = {
    "none": None,
    "LambdaLR": lambda optimizer, rate: LambdaLR(optimizer, lambda step: 1 - step / steps),
    "OneCycleLR": lambda optimizer, rate: OneCycleLR(optimizer, rate, total_steps=steps),
    "CosineAnnealingLR": lambda optimizer, rate: CosineAnnealingLR(optimizer, steps),
}


class Model(pl.LightningModule):
    def __init__(self, schedule):
        super().__init__()
        torch.manual_seed(0)
        self.lr, self.schedule, self.used = start, schedule, []
        self.backbone, self.head = nn.Linear(4, 8), nn.Linear(8, 1)

    def training_step(self, batch, _):
        self.used.append([group["lr"] for group in self.optimizers().param_groups])
        return (self.head(self.backbone(batch[0]).tanh()) - batch[1]).square().mean()

    def configure_optimizers(self):
        backbone = {"params": self.backbone.parameters(), "lr": self.lr / 10}
        optimizer = torch.optim.Adam([backbone, {"params": self.head.parameters()}], lr=self.lr)
        make = schedules[self.schedule]
        if make is None:
            return optimizer
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": make(optimizer, self.lr), "interval": "step"}}

    def train_dataloader(self):
        return DataLoader(data, batch_size=10)


def run(schedule, callback):
    """The rate found, and the rates (backbone, head) of the first two steps of the training and of the middle one."""
    model = Model(schedule)
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    finder = [LearningRateFinder(num_training_steps=40)] if callback else []
    trainer = pl.Trainer(accelerator="cpu", max_epochs=1, callbacks=finder, enable_model_summary=False, **quiet)
    if not callback:
        Tuner(trainer).lr_find(model, num_training=40)
    trainer.fit(model)
    used = model.used[-steps:]
    return model.lr, used[0], used[1], used[steps // 2]


print(f"pytorch-lightning {pl.__version__}; the run begins with {start:g} for the head, a tenth for the backbone")
seen = {(name, callback): run(name, callback) for name in schedules for callback in (True, False)}
for (name, callback), (found, *used) in seen.items():
    shown = ", ".join("/".join(f"{rate:.1e}" for rate in rates) for rates in used)
    way = "callback" if callback else "tuner"
    print(f"  {way}, {name}: found {found:.1e}; steps 1, 2 and {steps // 2 + 1} use {shown}")
for (name, callback), (found, first, second, middle) in seen.items():
    lost = max(second[1], middle[1]) > 20 * found
    if found > start / 20 or lost != (callback and name in ("LambdaLR", "OneCycleLR")):
        sys.exit(f"changed: the rate of {name}")
    if name == "none" and (first[0] == first[1]) != callback:
        sys.exit("changed: the groups' ratio")
    if callback and not first[0] == first[1] == found:
        sys.exit("changed: the first step")
PY
