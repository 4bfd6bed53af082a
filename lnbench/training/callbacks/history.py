"""Records the losses and validation metrics of a run, step by step."""

import csv
import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl
from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor

from lnbench.core.atomic_files import write_atomically
from lnbench.training.callbacks.stopwatch import Stopwatch
from lnbench.training.module import TuningModule

LOSS = "train/loss"
LOSS_EVERY = 10
VALIDATION = "validation/"


class History(pl.Callback):
    """Collects rows, and writes them to metrics.csv after each validation and at the end.

    The rows are saved in the checkpoint, so the file of a resumed run has neither gaps nor repeated rows.
    """

    def __init__(self, path: Path, metric: str, mode: Literal["max", "min"], stopwatch: Stopwatch) -> None:
        """
        Args:
            path: file metrics.csv to write.
            metric: name of the validation metric that selects the best step.
            mode: whether a larger or a smaller value is better.
            stopwatch: measures the time spent on writing, as part of the checkpoints.
        """
        self.path = path
        self.metric = VALIDATION + metric
        self.mode = mode
        self.stopwatch = stopwatch
        self.rows: list[dict[str, float]] = []

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Tensor | Mapping[str, Any] | None,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Records the loss every few steps, because reading it makes the host wait for the device."""
        step, noted = trainer.global_step, self.rows[-1]["step"] if self.rows else 0
        if step % LOSS_EVERY == 0 and step > noted:
            assert isinstance(outputs, Mapping)
            self._add(trainer, {LOSS: outputs["loss"].item()})

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Records the validation metrics."""
        assert isinstance(pl_module, TuningModule)
        self._add(trainer, {VALIDATION + name: value for name, value in pl_module.metrics["validation"].items()})
        self.write()

    def best_row(self) -> dict[str, float]:
        """The row of the best validation, the first one of several equal ones. A NaN score is worse than any other."""
        rows = [row for row in self.rows if self.metric in row]
        return max(rows, key=self._merit)

    def best(self) -> dict[str, float]:
        """The validation metrics of the best step, named without the split."""
        row = self.best_row()
        return {name.removeprefix(VALIDATION): value for name, value in row.items() if name.startswith(VALIDATION)}

    @rank_zero_only
    def write(self) -> None:
        """Writes all rows so far, atomically."""
        columns = list(dict.fromkeys(name for row in self.rows for name in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        with self.stopwatch.timing(self.stopwatch.checkpoints):
            write_atomically(self.path, text.getvalue())

    def state_dict(self) -> dict[str, Any]:
        """The rows so far."""
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continues after the rows of an earlier `state_dict`."""
        self.rows = state_dict["rows"]

    def _merit(self, row: dict[str, float]) -> float:
        score = row[self.metric]
        if math.isnan(score):
            return -math.inf
        return score if self.mode == "max" else -score

    def _add(self, trainer: pl.Trainer, values: dict[str, float]) -> None:
        row = {"epoch": trainer.current_epoch, "step": trainer.global_step, **values}
        self.rows.append(row)
        if trainer.logger:
            trainer.logger.log_metrics(values, step=trainer.global_step)
