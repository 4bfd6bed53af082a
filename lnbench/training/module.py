"""The LightningModule: one optimisation step, and evaluation."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torchmetrics import MetricCollection

from lnbench.config import RunConfig
from lnbench.model import TunedModel, inputs_of
from lnbench.seeding import derive_seed
from lnbench.training.checkpoint import SafetensorsCheckpointIO
from lnbench.training.config import TrainerConfig
from lnbench.training.optimiser import linear_schedule, new_optimiser

PREFIX = "model."


def count_steps(config: TrainerConfig, batches: int) -> int:
    """Number of optimiser steps of a whole run on `batches` training batches an epoch."""
    steps = math.ceil(batches / config.accumulate) * config.max_epochs
    return min(steps, config.max_steps or steps)


class TuningModule(pl.LightningModule):
    """Trains a `TunedModel` on a `Task`."""

    strict_loading = False

    def __init__(self, model: TunedModel, config: RunConfig, steps: int) -> None:
        """
        Args:
            model: what is trained.
            config: of the run.
            steps: optimiser steps of the whole run, over which the learning rate decays to 0.
        """
        super().__init__()
        self.model = model
        self.config = config
        self.steps = steps
        self.scores = nn.ModuleDict({split: config.task.metrics() for split in ("validation", "test")})

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Logits of one batch."""
        return self.model(**inputs_of(batch))

    def on_train_batch_start(self, batch: Mapping[str, Tensor], batch_idx: int) -> None:
        """Seeds dropout from the position in training alone, so that a resumed run draws the same masks."""
        torch.manual_seed(derive_seed(self.config.seed, "dropout", self.current_epoch, batch_idx))

    def training_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> Tensor:
        """Mean loss of the batch."""
        return self.config.task.loss(self(batch), batch)

    def on_train_batch_end(self, outputs: Any, batch: Mapping[str, Tensor], batch_idx: int) -> None:
        """Ends training after the last step, with a validation wherever that falls."""
        if self.global_step >= self.steps:
            self.trainer.should_stop = True

    def validation_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> None:
        """Adds one batch to the validation metrics."""
        self._evaluate("validation", batch)

    def on_validation_epoch_end(self) -> None:
        """Publishes the validation metrics."""
        self._publish("validation")

    def test_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> None:
        """Adds one batch to the test metrics."""
        self._evaluate("test", batch)

    def on_test_epoch_end(self) -> None:
        """Publishes the test metrics."""
        self._publish("test")

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW with linear warm-up and decay."""
        rates = {name: part.lr for name, part in self.config.method.items()}
        optimiser = new_optimiser(self.model, self.config.trainer, rates)
        schedule = linear_schedule(optimiser, round(self.config.trainer.warmup * self.steps), self.steps)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keeps only what is trained."""
        checkpoint["state_dict"] = {PREFIX + name: value.detach() for name, value in self.model.trained().items()}

    def load_best(self, path: str | Path) -> None:
        """Puts the trained values of a checkpoint in place."""
        state = SafetensorsCheckpointIO().load_checkpoint(path)["state_dict"]
        self.model.load_trained({name.removeprefix(PREFIX): value for name, value in state.items()})

    def _scores_of(self, split: str) -> MetricCollection:
        scores = self.scores[split]
        assert isinstance(scores, MetricCollection)
        return scores

    def _evaluate(self, split: str, batch: Mapping[str, Tensor]) -> None:
        self._scores_of(split).update(*self.config.task.metric_inputs(self(batch), batch))

    def _publish(self, split: str) -> None:
        scores = self._scores_of(split)
        values = {f"{split}/{name}": value for name, value in scores.compute().items()}
        scores.reset()
        self.log_dict(values, logger=split == "test")
