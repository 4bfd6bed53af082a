"""Saves the trained values at the best validation."""

from pathlib import Path

import pytorch_lightning as pl

from lnbench.training.callbacks.history import History
from lnbench.training.callbacks.stopwatch import Stopwatch


class BestCheckpoint(pl.Callback):
    """Saves after each validation that is better than all earlier ones.

    The callback compares with the history, which is saved in the checkpoint. Unlike Lightning's own callback, it needs
    no state and keeps working after a run's folder is moved.
    """

    def __init__(self, path: Path, history: History, stopwatch: Stopwatch) -> None:
        """
        Args:
            path: file to write.
            history: the history callback, which must come before this one.
            stopwatch: measures the time spent on saving.
        """
        self.path = path
        self.history = history
        self.stopwatch = stopwatch

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Saves if the last validation is the best."""
        if self.history.best_row() is self.history.rows[-1]:
            with self.stopwatch.timing(self.stopwatch.checkpoints):
                trainer.save_checkpoint(self.path, weights_only=True)
