#!/usr/bin/env bash
# One would think: with a threshold of 0.01 and a patience of 3, EarlyStoppingCallback stops a run that has not become
#                  better by 0.01 within three evaluations, as EarlyStopping(min_delta=0.01) of Lightning does.
# What is so:      each evaluation is compared with the best one before it, however little that one was better. Accuracy
#                  that rises by 0.008 at every evaluation never "improves": the run stops at the fourth, though it has
#                  gained 0.024 by then and 0.152 by the end. Lightning keeps its reference until it is beaten by
#                  min_delta, and trains to the end.
# Versions:        transformers 5.23.0, accelerate 1.15.0, torch 2.13.0, pytorch-lightning 2.6.6.
# Source:          EarlyStoppingCallback.check_metric_value in transformers/trainer_callback.py uses state.best_metric,
#                  which Trainer._determine_best_metric moves at any improvement.
# Why it matters:  the threshold is there to pass over noise. Evaluated more often, a model gains less each time: the
#                  same run then stops earlier, and a slow method (low rank, low rate) is cut off while it learns.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile transformers==5.23.0 accelerate==1.15.0 torch==2.13.0 \
  pytorch-lightning==2.6.6
cd "$work"
HF_HUB_OFFLINE=1 HF_HOME="$work/home" "$work/venv/bin/python" -W ignore - <<'PY'
import logging
import sys

import pytorch_lightning as pl
import torch
import transformers
from pytorch_lightning.callbacks import EarlyStopping
from torch.utils.data import DataLoader

logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
rows = [{"input_ids": torch.tensor([1, 2, 3]), "labels": i % 2} for i in range(4)]
rising = [0.6 + 0.008 * i for i in range(20)]
sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8, "vocab_size": 9}


def trainer_epochs(accuracies, threshold):
    values = iter(accuracies)
    arguments = transformers.TrainingArguments(
        "out", num_train_epochs=len(accuracies), eval_strategy="epoch", save_strategy="no", logging_strategy="no",
        metric_for_best_model="accuracy", greater_is_better=True, report_to=[], disable_tqdm=True, use_cpu=True,
    )  # fmt: skip
    trainer = transformers.Trainer(
        transformers.BertForSequenceClassification(transformers.BertConfig(**sizes)), arguments,
        train_dataset=rows, eval_dataset=rows, compute_metrics=lambda _: {"accuracy": next(values)},
        callbacks=[transformers.EarlyStoppingCallback(3, threshold)],
    )  # fmt: skip
    trainer.remove_callback(transformers.PrinterCallback)
    trainer.train()
    return round(trainer.state.epoch)


class Model(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = torch.nn.Linear(1, 1)

    def training_step(self, batch, _):
        return self.net(batch).mean()

    def validation_step(self, batch, _):
        self.log("accuracy", rising[self.trainer.current_epoch])

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


stopping = EarlyStopping("accuracy", min_delta=0.01, patience=3, mode="max")
quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
lightning = pl.Trainer(accelerator="cpu", max_epochs=20, num_sanity_val_steps=0, callbacks=[stopping], **quiet)
data = DataLoader(torch.ones(2, 1))
lightning.fit(Model(), data, data)
seen = {f"threshold {threshold}": trainer_epochs(rising, threshold) for threshold in (0.01, 0.0)}
print(
    f"transformers {transformers.__version__}: accuracy rises by 0.008 an epoch for 20 epochs, patience 3; expected 20 "
    f"epochs, seen {seen}; Lightning {pl.__version__} with min_delta 0.01: {lightning.current_epoch}"
)
if not (seen == {"threshold 0.01": 4, "threshold 0.0": 20} and lightning.current_epoch == 20):
    sys.exit("changed: small improvements add up, or Lightning's do not")
PY
