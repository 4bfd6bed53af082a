"""Trains as `python -m lnbench` does."""

import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from lnbench.config.run import RunConfig
from lnbench.tasks.data.load import TaskData
from lnbench.training import fit
from lnbench.training.assemble import build_model
from lnbench.training.batching import Piece
from lnbench.training.context import Context
from lnbench.training.prepare import prepare
from scripts.throughput.clock import Clock, Round
from scripts.throughput.flops import RowFlops, count_flops


def run(config: RunConfig, data: TaskData, steps: int) -> tuple[Round, RowFlops]:
    """Trains a new model, with all callbacks of a run. Validation and checkpoint come after the last step.

    Args:
        config: configuration of the run.
        data: data to train on.
        steps: number of timed steps, after a first one that is not timed.
    """
    model = build_model(config)
    flops = count_flops(model)
    clock = Clock(steps)
    limits = {"max_steps": steps + 1, "max_epochs": 1, "accumulate": 1, "validate_every": None, "progress": False}
    config = config.model_copy(update={"test": False, "trainer": config.trainer.model_copy(update=limits)})
    watched = partial(_new_trainer, fit.new_trainer, clock)
    with tempfile.TemporaryDirectory() as folder, patch.object(fit, "new_trainer", watched):
        prepare(config, model, data)
        fit.fit_and_test(config, model, data, Context(Path(folder)))
    return clock.round(), flops


class _Watch(pl.Callback):
    """Reports each training step to a clock."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Sequence[Piece], batch_idx: int
    ) -> None:
        (piece,) = batch
        self.clock.masks.append(piece.rows["attention_mask"])
        self.clock.step_ended()


def _new_trainer(
    make: Callable[..., pl.Trainer], clock: Clock, config: RunConfig, callbacks: list[Callback], *arguments: Any
) -> pl.Trainer:
    return make(config, [_Watch(clock), *callbacks], *arguments)
