#!/usr/bin/env bash
# One would think: take(n) and skip(n) of one shuffled stream split it: validation and training stay apart, as the
#                  library's guide has it, which says to shuffle before the split.
# What is so:      they are apart in the first epoch only. The stream is shuffled anew in each epoch below the split,
#                  so skip(n) skips other examples. Trainer sets the epoch by itself: in its second epoch it trains on
#                  152 of 200 validation examples. Splits made before the shuffle stay apart. There is no warning.
# Versions:        datasets 5.2.0, transformers 5.23.0, torch 2.13.0, accelerate 1.15.0.
# Source:          IterableDataset._prepare_ex_iterable_for_iteration in datasets/iterable_dataset.py: take and skip
#                  keep the order of the shards fixed across epochs, but the shuffle buffer below them gets a new seed.
# Why it matters:  from the second epoch on the validation loss is measured on examples of the training set; early
#                  stopping and the choice of the best checkpoint follow it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile torch==2.13.0 transformers==5.23.0 accelerate==1.15.0 datasets==5.2.0
cd "$work"
HF_HUB_OFFLINE=1 HF_HOME="$work" "$work/venv/bin/python" -W ignore - <<'PY'
import sys

import datasets
import torch
import transformers
from datasets import Dataset
from transformers import Trainer, TrainingArguments

transformers.logging.set_verbosity_error()


class Recorder(torch.nn.Module):
    """Notes which examples it sees."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))
        self.trained, self.validated = [], []

    def forward(self, number):
        (self.trained if self.training else self.validated).extend(number.tolist())
        return {"loss": self.weight.square().mean()}


def run(make_splits, epochs):
    model = Recorder()
    train, validation = make_splits()
    args = TrainingArguments(
        "out",
        max_steps=100 * epochs,  # 800 examples in batches of 8
        per_device_train_batch_size=8,
        per_device_eval_batch_size=8,
        eval_strategy="steps",
        eval_steps=100,
        save_strategy="no",
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
        prediction_loss_only=True,
        remove_unused_columns=False,
    )
    trainer = Trainer(model, args, train_dataset=train, eval_dataset=validation)
    trainer.log = lambda *_, **__: None
    trainer.train()
    trained, validated = set(model.trained), set(model.validated)
    return [len(trained), len(validated), len(trained & validated)]


def one_stream():
    stream = Dataset.from_dict({"number": list(range(1000))}).to_iterable_dataset().shuffle(seed=42)
    return stream.skip(200), stream.take(200)


def split_first():
    splits = Dataset.from_dict({"number": list(range(1000))}).train_test_split(200, seed=42)
    return splits["train"].to_iterable_dataset().shuffle(seed=42), splits["test"].to_iterable_dataset()


seen = {
    "take and skip, 1 epoch": run(one_stream, 1),
    "take and skip, 2 epochs": run(one_stream, 2),
    "split, then shuffled, 2 epochs": run(split_first, 2),
}
print(
    f"datasets {datasets.__version__}, transformers {transformers.__version__}: examples trained on, validated on, "
    f"both; expected 800, 200, 0, seen {seen}"
)
apart = [800, 200, 0]
mixed = seen["take and skip, 2 epochs"]
if not (seen["take and skip, 1 epoch"] == seen["split, then shuffled, 2 epochs"] == apart and mixed[2] > 100):
    sys.exit("changed: the splits of a shuffled stream stay apart, or other splits do not")
PY
