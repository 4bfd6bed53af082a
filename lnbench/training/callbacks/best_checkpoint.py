"""Keeps the trained values of the best validation."""

from pathlib import Path

import pytorch_lightning as pl

from lnbench.training.callbacks.history import History


class BestCheckpoint(pl.Callback):
    """Saves after each validation that is better than all before.

    What is the best is read off the history, which travels in the checkpoint: unlike Lightning's
    own callback this one needs no state, and does not forget when a run's folder is moved.
    """

    def __init__(self, path: Path, history: History) -> None:
        """
        Args:
            path: of the file.
            history: a callback that comes before this one.
        """
        self.path = path
        self.history = history

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Saves if the last validation is the best."""
        if self.history.best_row() is self.history.rows[-1]:
            trainer.save_checkpoint(self.path, weights_only=True)
