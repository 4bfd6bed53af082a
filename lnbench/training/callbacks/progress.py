"""The progress bar, with the step, the loss and the last validation score."""

import pytorch_lightning as pl
from pytorch_lightning.callbacks import RichProgressBar

from lnbench.training.callbacks.history import LOSS, VALIDATION, History


class Progress(RichProgressBar):
    """Lightning's progress bar, with values from the run's history, so that it never waits for the device."""

    def __init__(self, history: History) -> None:
        super().__init__(refresh_rate=10, leave=False)
        self.history = history

    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, str]:  # type: ignore[override]
        """The latest values, under short names."""
        shown = {"loss": LOSS, self.history.metric.removeprefix(VALIDATION): self.history.metric}
        latest = {column: value for row in self.history.rows for column, value in row.items()}
        return {name: f"{latest[column]:.3f}" for name, column in shown.items() if column in latest}
