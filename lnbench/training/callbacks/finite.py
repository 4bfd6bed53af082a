"""Stops training that has diverged."""

from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from lnbench.core.errors import Diverged
from lnbench.training.callbacks.history import LOSS_EVERY
from lnbench.training.module import TuningModule


class Finite(pl.Callback):
    """Raises `Diverged` when a loss or a trained value is no longer a finite number.

    Once a loss is infinite or NaN, so is the sum of all losses. It is therefore enough to check the sum at the steps at
    which the loss is recorded anyway; reading a value makes the host wait for a GPU.
    """

    def __init__(self) -> None:
        self._losses: Tensor | float = 0.0

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Tensor | Mapping[str, Any] | None,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Checks the sum of losses."""
        assert isinstance(outputs, Mapping)
        self._losses = self._losses + outputs["loss"].detach()
        if trainer.global_step % LOSS_EVERY == 0 or pl_module.device.type == "cpu":
            self._check(trainer, torch.as_tensor(self._losses), "the loss")

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Checks the trained values, so that non-finite values never count as the best."""
        assert isinstance(pl_module, TuningModule)
        for name, value in pl_module.model.trained().items():
            self._check(trainer, value, name)

    def _check(self, trainer: pl.Trainer, values: Tensor, name: str) -> None:
        if not values.isfinite().all():
            rates = ", ".join(f"{group['lr']:.2g}" for group in trainer.optimizers[0].param_groups)
            raise Diverged(f"{name} is not finite at step {trainer.global_step}; learning rates there: {rates}")
