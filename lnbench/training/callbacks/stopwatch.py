"""How long training itself takes, without evaluation and checkpoints."""

import time
from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor


class Stopwatch(pl.Callback):
    """Seconds, samples and real (non-padding) tokens of training, over interruptions."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.samples = 0
        self._tokens: Tensor | int = 0
        self._since: float | None = None

    @property
    def tokens(self) -> int:
        """Tokens trained on; padding does not count."""
        return int(self._tokens)

    def start(self) -> None:
        """Starts the clock, once the device has finished what came before."""
        _synchronise()
        self._since = time.perf_counter()

    def stop(self) -> None:
        """Stops the clock, once the device has finished; harmless when it stands."""
        if self._since is not None:
            _synchronise()
            self.seconds += time.perf_counter() - self._since
            self._since = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Training begins."""
        self.start()

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Mapping[str, Tensor],
        batch_idx: int,
    ) -> None:
        """Counts without waiting for the device."""
        self.samples += len(batch["input_ids"])
        self._tokens = self._tokens + batch["attention_mask"].sum()

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Evaluation does not count."""
        self.stop()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Training goes on."""
        if trainer.state.fn == "fit":
            self.start()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Training is over."""
        self.stop()

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run continues from."""
        running = time.perf_counter() - self._since if self._since is not None else 0.0
        return {"seconds": self.seconds + running, "samples": self.samples, "tokens": self.tokens}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continues from an earlier `state_dict`."""
        self.seconds = state_dict["seconds"]
        self.samples = state_dict["samples"]
        self._tokens = state_dict["tokens"]


def _synchronise() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
