"""Keeps the trained values of the best validation."""

from pathlib import Path

import pytorch_lightning as pl

from lnbench.training.callbacks.history import History
from lnbench.training.callbacks.stopwatch import Stopwatch


class BestCheckpoint(pl.Callback):
    """Saves after each validation that is better than all before.

    What is the best is read off the history, which travels in the checkpoint: unlike Lightning's
    own callback this one needs no state, and does not forget when a run's folder is moved.
    """

    def __init__(self, path: Path, history: History, stopwatch: Stopwatch) -> None:
        """
        Args:
            path: of the file.
            history: a callback that comes before this one.
            stopwatch: measures what saving takes.
        """
        self.path = path
        self.history = history
        self.stopwatch = stopwatch

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Saves if the last validation is the best."""
        if self.history.best_row() is self.history.rows[-1]:
            with self.stopwatch.timing(self.stopwatch.checkpoints):
                trainer.save_checkpoint(self.path, weights_only=True)
