#!/usr/bin/env bash
# One would think: load_state, then skip_first_batches, goes on with the interrupted epoch: each example is seen once
#                  in it.
# What is so:      the rest of the epoch follows another order. By default it is that of the next epoch (the state was
#                  saved after this epoch's order was drawn); with the seedable sampler it is that of the first epoch,
#                  unless one calls set_epoch. Some examples are seen twice in the epoch and others never.
# Versions:        accelerate 1.15.0, torch 2.13.0.
# Source:          save_accelerator_state and load_accelerator_state in accelerate/checkpointing.py keep the random
#                  states, not the drawn order; DataLoaderShard in accelerate/data_loader.py counts its epochs from 0
#                  again.
# Why it matters:  a run that was preempted is another run than one that was not: scores of resumed and whole runs are
#                  not to be compared, and "resumes exactly" must be tested on the order too.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile torch==2.13.0 accelerate==1.15.0
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import sys

import accelerate
import torch
from accelerate import Accelerator
from accelerate.utils import DataLoaderConfiguration
from torch.utils.data import DataLoader


def begin(seedable):
    accelerate.utils.set_seed(0)
    accelerator = Accelerator(cpu=True, dataloader_config=DataLoaderConfiguration(use_seedable_sampler=seedable))
    loader, model = accelerator.prepare(
        DataLoader(list(range(12)), batch_size=3, shuffle=True), torch.nn.Linear(1, 1)
    )
    return accelerator, loader


def second_epoch(seedable, set_epoch=False):
    """The examples of the second epoch, stopped after two of four batches and resumed."""
    accelerator, loader = begin(seedable)
    for _ in loader:
        pass
    examples = []
    for number, batch in enumerate(loader, start=1):
        examples += batch.tolist()
        if number == 2:
            accelerator.save_state("state")
            break
    accelerator, loader = begin(seedable)
    accelerator.load_state("state")
    if set_epoch:
        loader.set_epoch(1)
    for batch in accelerator.skip_first_batches(loader, 2):
        examples += batch.tolist()
    return len(set(examples))


seen = {
    "default": second_epoch(False),
    "seedable": second_epoch(True),
    "seedable, set_epoch": second_epoch(True, True),
}
print(
    f"accelerate {accelerate.__version__}: different examples in a resumed epoch, expected 12 for all, seen {seen}"
)
if not (seen["default"] < 12 and seen["seedable"] < 12 and seen["seedable, set_epoch"] == 12):
    sys.exit("changed: a resumed epoch shows each example once, or set_epoch no longer mends it")
PY
