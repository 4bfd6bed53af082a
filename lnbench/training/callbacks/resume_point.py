"""Saves the state of training, so that a stopped run can continue."""

import contextlib
import logging
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from types import FrameType
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.utilities import rank_zero_only

from lnbench import __version__
from lnbench.core.errors import CheckpointError
from lnbench.core.interruption import RunInterrupted, answered
from lnbench.core.sealed import FORMAT, require_format
from lnbench.training.callbacks.stopwatch import Stopwatch
from lnbench.training.checkpoint import SafetensorsCheckpointIO

log = logging.getLogger(__name__)


class ResumePoint(pl.Callback):
    """Saves checkpoints every few minutes, at the end of training, and on Ctrl-C or SIGTERM.

    The first signal takes effect before the next training step: the callback saves the state and raises
    `RunInterrupted`. After training nothing is left to save, so it raises before the next batch. A second signal
    raises at once.
    """

    def __init__(
        self,
        path: Path,
        best: Path,
        origin: dict[str, Any],
        minutes: float,
        stopwatch: Stopwatch,
        stop: Event | None = None,
    ) -> None:
        """
        Args:
            path: checkpoint file to write.
            best: file with the best values so far; the checkpoint cannot be used without it.
            origin: JSON values that identify the model and the data; a checkpoint with other values cannot be used.
            minutes: longest time between two checkpoints.
            stopwatch: measures the time spent on saving.
            stop: stops a run in a thread, which receives no signals.
        """
        self.path = path
        self.best = best
        self.origin = origin
        self.seconds = minutes * 60
        self.stopwatch = stopwatch
        self._stop = stop
        self._signalled = False
        self._finished = False
        self._saved_at = time.monotonic()

    def usable(self) -> Path | None:
        """The checkpoint to continue from, or None. A checkpoint that cannot be used is deleted with a warning.

        Raises:
            NewerError: a newer lnbench wrote the checkpoint and can continue from it.
        """
        if not self.path.is_file():
            return None
        try:
            self._check()
        except CheckpointError as error:
            log.warning("%s; training starts over", error)
            self.path.unlink()
            return None
        return self.path

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Handles Ctrl-C and SIGTERM within the context. Only the main thread receives them."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        with answered(self._on_signal):
            yield
            self._raise_if_signalled()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Starts the clock, and removes Lightning's handler for SIGTERM, which would stop without saving."""
        self._saved_at = time.monotonic()
        if signal.getsignal(signal.SIGINT) == self._on_signal:
            signal.signal(signal.SIGTERM, self._on_signal)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Saves if it is time to, or if a signal came."""
        due = self._is_told_to_stop() or time.monotonic() - self._saved_at > self.seconds
        if trainer.strategy.reduce_boolean_decision(due, all=False):
            self._save(trainer)
            self._stop_together(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Saves the state at the end of training, from which an interrupted test continues."""
        self._finished = True
        self._save(trainer)

    def on_test_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Stops if a signal came."""
        self._stop_together(trainer)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Adds the values by which `usable` checks the checkpoint."""
        checkpoint |= {"origin": self.origin, "finished": self._finished, "has_best": self.best.is_file()}
        checkpoint["versions"] = {"lnbench": __version__}
        if not self._finished:
            _forget_fetched_batch(checkpoint["loops"]["fit_loop"])

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Trains no further if training had ended, even if early stopping had ended it before the last step."""
        trainer.should_stop = self._finished = checkpoint["finished"]

    def _check(self) -> None:
        checkpoint = SafetensorsCheckpointIO().load_checkpoint(self.path)
        origin = checkpoint.get("origin")
        if isinstance(origin, dict):
            require_format(self.path, {**checkpoint, **origin}, self.origin[FORMAT])
        if origin != self.origin:
            raise CheckpointError(f"{self.path}: was saved while training on other data or by another lnbench")
        if checkpoint["has_best"]:
            SafetensorsCheckpointIO().load_checkpoint(self.best)

    def _save(self, trainer: pl.Trainer) -> None:
        with self.stopwatch.timing(self.stopwatch.checkpoints):
            trainer.save_checkpoint(self.path)
        self._saved_at = time.monotonic()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._signalled:
            raise RunInterrupted
        self._signalled = True
        _announce()

    def _stop_together(self, trainer: pl.Trainer) -> None:
        """Stops all processes of the run if one of them received a signal."""
        self._signalled = trainer.strategy.reduce_boolean_decision(self._is_told_to_stop(), all=False)
        self._raise_if_signalled()

    def _is_told_to_stop(self) -> bool:
        return self._signalled or (self._stop is not None and self._stop.is_set())

    def _raise_if_signalled(self) -> None:
        if self._signalled:
            raise RunInterrupted


@rank_zero_only
def _announce() -> None:
    print("\nStopping after this step. Press Ctrl-C again to stop at once.", file=sys.stderr)


def _forget_fetched_batch(fit_loop: dict[str, Any]) -> None:
    """Changes the state of a loop that has fetched a batch but not begun it into the state before fetching."""
    progress = fit_loop["epoch_loop.batch_progress"]
    for counter in (progress["total"], progress["current"]):
        counter["ready"] = counter["completed"]
    progress["is_last_batch"] = False
    (loader,) = fit_loop["state_dict"]["combined_loader"]
    loader["given"] -= 1
