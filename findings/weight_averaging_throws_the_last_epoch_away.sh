#!/usr/bin/env bash
# One would think: StochasticWeightAveraging returns the mean of the weights after each of the last epochs.
# What is so:      weights are taken at the beginning of an epoch, so the last epoch's are in no mean: its steps change
#                  nothing. With the default start (0.8) three epochs give the mean of the first two, two epochs the
#                  mean of the initial weights and those after one, and one epoch gives the initial weights back,
#                  exactly. If the run stops early, as by EarlyStopping, the last step's weights are returned: the mean
#                  is dropped. There is no warning.
# Versions:        pytorch-lightning 2.6.6, torch 2.13.0.
# Source:          StochasticWeightAveraging in pytorch_lightning/callbacks/stochastic_weight_avg.py:
#                  on_train_epoch_start adds the weights, on_train_end copies the mean only after epoch number
#                  max_epochs. Models with BatchNorm take another path, which has an epoch more for their statistics.
# Why it matters:  models are tuned for one to five epochs: a fifth to all of the training is thrown away, and a test
#                  right after fit scores the untrained model after one epoch. Averaging then looks harmful.
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
from pytorch_lightning.callbacks import Callback, StochasticWeightAveraging
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
generator = torch.Generator().manual_seed(0)
data = TensorDataset(torch.randn(80, 4, generator=generator), torch.randn(80, 1, generator=generator))


class Model(pl.LightningModule):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.Tanh(), nn.Linear(8, 1))
        self.after = [self.weights()]  # after 0, 1, ... epochs

    def weights(self):
        return torch.cat([p.detach().flatten().clone() for p in self.parameters()])

    def training_step(self, batch, _):
        return (self.net(batch[0]) - batch[1]).square().mean()

    def on_train_epoch_end(self):
        self.after.append(self.weights())

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.05)


class StopAfter(Callback):
    """Ends the run as EarlyStopping does."""

    def __init__(self, epochs):
        self.epochs = epochs

    def on_train_epoch_end(self, trainer, module):
        trainer.should_stop = trainer.current_epoch + 1 == self.epochs


def averaged(epochs, stop=None):
    """The epochs of which the final weights are the mean; 0 is the initial model."""
    model = Model()
    callbacks = [StochasticWeightAveraging(swa_lrs=0.05), StopAfter(stop or epochs)]
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = pl.Trainer(
        accelerator="cpu", max_epochs=epochs, callbacks=callbacks, enable_model_summary=False, **quiet
    )
    trainer.fit(model, DataLoader(data, batch_size=8, shuffle=True))
    last = len(model.after) - 1
    for first in range(last + 1):
        for end in range(first, last + 1):
            if torch.allclose(torch.stack(model.after[first : end + 1]).mean(0), model.weights(), atol=1e-6):
                return list(range(first, end + 1))
    return None


seen = {str(epochs): averaged(epochs) for epochs in (1, 2, 3, 5, 10)} | {"10, stopped after 9": averaged(10, stop=9)}
print(
    f"pytorch-lightning {pl.__version__}: epochs of the run, and after which epochs the averaged weights are taken (0: "
    f"before the first); expected the last ones, seen {seen}"
)
expected = {"1": [0], "2": [0, 1], "3": [1, 2], "5": [3, 4], "10": [7, 8, 9], "10, stopped after 9": [9]}
if seen != expected:
    sys.exit("changed: the last epoch's weights are averaged, or the mean survives an early stop")
PY
