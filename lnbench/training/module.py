"""The LightningModule: one optimisation step, and evaluation."""

from collections.abc import Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.optim import Optimizer

from lnbench.backbone.tuned_model import TunedModel, inputs_of
from lnbench.config.run import RunConfig
from lnbench.config.trainer import TrainerConfig
from lnbench.core.seeding import derive_seed, seed_devices
from lnbench.tasks.data.load import TaskData
from lnbench.training.batching import Piece
from lnbench.training.checkpoint import SafetensorsCheckpointIO
from lnbench.training.evaluation import Collector
from lnbench.training.optimiser import linear_schedule, new_optimiser
from lnbench.training.sharded.sharding import shards, whole

PREFIX = "model."
VALIDATION, TEST = "validation", "test"


def count_steps(config: TrainerConfig, batches: int) -> int:
    """Number of optimiser steps of a whole run, with one step for each of an epoch's `batches` training batches."""
    steps = batches * config.max_epochs
    return min(steps, config.max_steps or steps)


class TuningModule(pl.LightningModule):
    """Trains a `TunedModel` on a `Task`.

    A batch makes one optimiser step and comes in pieces, whose gradients are added up. For every task, loss and
    gradient equal those of all rows at once, up to rounding: the mean over all labels that count. Only dropout
    differs, because it is drawn anew for each piece.
    """

    strict_loading = False
    together = 1
    """Number of runs whose batches go through the model at once."""

    def __init__(self, model: TunedModel, config: RunConfig, data: TaskData, steps: int) -> None:
        """
        Args:
            model: model to train.
            config: configuration of the run.
            data: splits to evaluate.
            steps: optimiser steps of the whole run, over which the learning rate decays to 0.
        """
        super().__init__()
        self.model = model
        self.config = config
        self.steps = steps
        self.data = data
        self.collectors = {VALIDATION: Collector(data.validation), TEST: Collector(data.test)}
        self.predictions: dict[str, list[dict[str, Any]]] = {}
        """Predictions of the last evaluation, by split."""
        self.metrics: dict[str, dict[str, float]] = {}
        """Metrics of the last evaluation, by split and name."""

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Logits of one batch."""
        logits: Tensor = self.model(**inputs_of(batch))
        return logits

    def on_train_batch_start(self, batch: Sequence[Piece], batch_idx: int) -> None:
        """Seeds dropout by the position in training alone, so that a resumed run draws the same masks."""
        seed_devices(derive_seed(self.config.seed, "dropout", self.current_epoch, batch_idx))

    def training_step(self, batch: Sequence[Piece], batch_idx: int) -> Tensor:
        """Returns the mean loss of the batch plus the method's penalties, and leaves its gradient in the parameters."""
        self.trainer.optimizers[0].zero_grad()
        return reduce(torch.add, [*(self._learn(piece) for piece in batch), *self._penalties()])

    def loss(self, rows: Mapping[str, Tensor]) -> Tensor:
        """Mean loss of some rows."""
        return self.config.task.loss(self(rows), rows)

    def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: Optimizer) -> None:
        """Does nothing. Lightning calls it after `training_step`, which has set the gradients."""

    def backward(self, loss: Tensor) -> None:
        """Does nothing, because `training_step` has computed the gradients."""

    def on_train_batch_end(self, outputs: Any, batch: Sequence[Piece], batch_idx: int) -> None:
        """Calls `after_step` of the method's parts. Ends training after the last step, always with a validation."""
        for part in self.config.method.values():
            part.after_step(self.model, self.global_step, self.steps)
        if self.global_step >= self.steps:
            self.trainer.should_stop = True

    def validation_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> None:
        """Answers one batch of the validation split."""
        self._evaluate(VALIDATION, batch)

    def on_validation_epoch_end(self) -> None:
        """Scores the validation split."""
        self._publish(VALIDATION)

    def test_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> None:
        """Answers one batch of the test split."""
        self._evaluate(TEST, batch)

    def on_test_epoch_end(self) -> None:
        """Scores the test split."""
        self._publish(TEST)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW with linear warm-up and decay."""
        optimiser = new_optimiser(self.model, self.config.trainer, self.config.method)
        schedule = linear_schedule(optimiser, round(self.config.trainer.warmup * self.steps), self.steps)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: int | float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clips by the joint norm. Lightning refuses a fused optimiser with bf16, although no loss is scaled there."""
        if gradient_clip_val is not None:
            trained = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            nn.utils.clip_grad_norm_(trained, gradient_clip_val)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Removes everything but the trained values, and what training needs to go on."""
        checkpoint["state_dict"] = {PREFIX + name: value for name, value in whole(self.model.state()).items()}
        checkpoint["progress"] = self.model.progress()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Loads what training needs to go on."""
        self.model.load_progress(checkpoint["progress"])

    def load_best(self, path: str | Path) -> None:
        """Loads the trained values of a checkpoint."""
        state = SafetensorsCheckpointIO().load_checkpoint(path)["state_dict"]
        tensors = {name.removeprefix(PREFIX): value for name, value in state.items()}
        self.model.load_trained(shards(tensors, self.model.state()))

    def _learn(self, piece: Piece) -> Tensor:
        """Adds the gradient of a piece of a batch; returns the piece's part of the batch's loss."""
        loss = self.loss(piece.rows)
        weight = torch.ones_like(loss) * piece.weight
        with torch.autocast(self.device.type, enabled=False):
            loss.backward(weight)
        torch.clear_autocast_cache()  # the cached casts belong to a graph that no longer exists
        return loss.detach() * weight

    def _penalties(self) -> list[Tensor]:
        """Adds the gradients of the penalties of the method's parts; returns the penalties."""
        with torch.autocast(self.device.type, enabled=False):
            found = [part.penalty(self.model) for part in self.config.method.values()]
            penalties = [penalty for penalty in found if penalty is not None]
            for penalty in penalties:
                penalty.backward()
        return [penalty.detach() for penalty in penalties]

    def _evaluate(self, split: str, batch: Mapping[str, Tensor]) -> None:
        outputs = self.config.task.outputs(self.model, batch, test=split == TEST)
        self.collectors[split].add(outputs, batch["rows"])

    def _publish(self, split: str) -> None:
        task, collector = self.config.task, self.collectors[split]
        self.predictions[split] = task.predictions(collector.take(), self.data.frames[split], collector.examples)
        self.metrics[split] = self.trainer.strategy.broadcast(task.score(self.predictions[split]))
        self.log_dict({f"{split}/{name}": value for name, value in self.metrics[split].items()}, logger=False)
