"""Logs a run to event files of TensorBoard, in the folder `tensorboard` of the run."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pytorch_lightning.loggers import TensorBoardLogger

from lnbench.config.run import RunConfig, TensorboardConfig
from lnbench.records.record import Record
from lnbench.training.loggers.log import Log, shifts_by_term, summary_values
from lnbench.training.loggers.predictions import as_markdown, first_predictions

FOLDER = "tensorboard"
TEST = "test/"


class TensorboardLog(Log):
    """Event files with the run's curves, its configuration and scores, and the first test predictions as a table.

    Each process of a run writes a file of its own, and TensorBoard joins them. Where a run starts, goes on or starts
    over, the new file makes TensorBoard drop the points that the run had logged for this step and later ones.
    """

    title = "TensorBoard"

    def __init__(self, config: RunConfig, settings: TensorboardConfig, folder: Path) -> None:
        """
        Args:
            config: configuration of the run.
            settings: what is logged.
            folder: folder of the run.
        """
        super().__init__()
        self._config, self._settings, self._folder = config, settings, folder / FOLDER
        self._logger: TensorBoardLogger | None = None
        self._last = 0

    def log_metrics(self, metrics: Mapping[str, Any], step: int) -> None:
        """Adds points to the curves."""
        if self._logger is None or step < self._last:
            self._end()
            # Scores of the test come after all other points, so that there is nothing to drop.
            purge = None if all(name.startswith(TEST) for name in metrics) else step
            self._logger = TensorBoardLogger(self._folder, name="", version="", purge_step=purge)
        self._last = step
        self._logger.log_metrics(metrics, step)

    def log_results(self, record: Record, folder: Path) -> None:
        """Adds the results of a finished run."""
        values, step = summary_values(record), record.cost.steps
        self.log_metrics({name: value for name, value in values.items() if not name.startswith(TEST)}, step)
        assert self._logger
        self._logger.log_hyperparams(self._config.to_dict(), values, step)
        writer = self._logger.experiment
        for name, changes in shifts_by_term(record).items():
            writer.add_histogram(name, np.array(changes), step)
        if self._settings.predictions and "test" in record.metrics:
            writer.add_text("predictions", as_markdown(*first_predictions(folder, self._settings.predictions)), step)

    def close(self, exit_code: int, folder: Path) -> None:
        """Writes what is left, and prints the command that shows all runs."""
        self._end()
        self.announce(shlex.join(["tensorboard", "--logdir", str(self._config.runs_dir)]))

    def _end(self) -> None:
        if self._logger:
            self._logger.experiment.close()
