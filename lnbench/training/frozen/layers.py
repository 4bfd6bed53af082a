"""The layers below the lowest trained layer: turns their dropout off, and keeps their output across epochs."""

import logging
from collections.abc import Mapping
from contextlib import ExitStack

import pytorch_lightning as pl
from torch import Tensor

from lnbench.backbone.frozen import FROZEN_STATES, FrozenPart
from lnbench.backbone.tuned_model import TunedModel, inputs_of
from lnbench.config.trainer import TrainerConfig
from lnbench.training.batching import EvalLoader, TrainLoader
from lnbench.training.device import count_devices
from lnbench.training.frozen.states import FrozenStates, size_in_gib

log = logging.getLogger(__name__)


class FrozenLayers(pl.Callback):
    """Computes the frozen layers once for each training row instead of in every epoch, if the result is the same.

    The conditions are: more than one epoch, one device, no encoder-decoder, no dropout in these layers, and enough
    allowed memory for their output. The output is computed before the first step, always in the same order and the same
    batches. So a resumed run computes the same numbers again.
    """

    def __init__(
        self, config: TrainerConfig, model: TunedModel, train: TrainLoader, steps: int, batch_size: int
    ) -> None:
        """
        Args:
            config: configuration of the trainer.
            model: model to be trained.
            train: training batches.
            steps: optimiser steps of the whole run.
            batch_size: number of rows that the model gets at once.
        """
        self.config = config
        self.model = model
        self.train = train
        self.batch_size = batch_size
        self._part: FrozenPart | None = None
        one_list = not model.backbone.config.is_encoder_decoder
        self._pays = one_list and config.cache_frozen_gib > 0 and count_devices(config) == 1 and steps > len(train)
        self._in_use = ExitStack()

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Finds the frozen layers, before the model is sharded."""
        if stage == "fit" and (self._pays or not self.config.frozen_dropout):
            with trainer.precision_plugin.forward_context():
                part = FrozenPart(self.model.backbone, self._sample())
            self._part = part if part.blocks else None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Turns dropout off in the frozen layers if asked, and adds their output to the training batches."""
        if self._part is None:
            return
        if not self.config.frozen_dropout:
            self._part.stop_dropout()
        if self._pays:
            with trainer.precision_plugin.forward_context():
                self._keep(self._part)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Restores the model and the batches."""
        self._in_use.close()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Restores the model and the batches."""
        self._in_use.close()

    def _keep(self, part: FrozenPart) -> None:
        sample = self._sample()
        state = part.states(sample)[0, 0]
        if part.is_random(sample) or not self._fits(part, state):
            return
        kept = FrozenStates(self.train.examples, state)
        for batch in EvalLoader(self.train.examples, self.batch_size):
            kept.put(batch["rows"].numpy(), part.states(self._inputs(batch)))
        self.train.more = lambda rows: {FROZEN_STATES: kept.batch(rows)}
        self._in_use.callback(setattr, self.train, "more", None)
        self._in_use.enter_context(part.spared())

    def _fits(self, part: FrozenPart, state: Tensor) -> bool:
        needed, allowed = size_in_gib(self.train.examples, state), self.config.cache_frozen_gib
        if needed > allowed:
            log.warning(
                "trainer.cache_frozen_gib = %g: the output of the %d frozen layers would take %.2f GiB, so every epoch "
                "computes it anew",
                allowed,
                len(part.blocks),
                needed,
            )
        return needed <= allowed

    def _sample(self) -> dict[str, Tensor]:
        """A batch of one row, the shortest."""
        examples = self.train.examples
        return self._inputs(examples.batch(examples.lengths.argsort()[:1]))

    def _inputs(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        device = next(self.model.parameters()).device
        return {name: tensor.to(device) for name, tensor in inputs_of(batch).items()}
