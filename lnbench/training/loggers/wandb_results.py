"""Results of a finished run that are sent to Weights & Biases besides its curves."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import wandb

from lnbench.records.files import ADAPTER
from lnbench.records.record import Record
from lnbench.records.shift import NormShift
from lnbench.training.loggers.log import shifts_by_term
from lnbench.training.loggers.predictions import first_predictions


def shift_charts(record: Record) -> dict[str, wandb.Histogram | wandb.Table]:
    """A histogram for each term, of the norms' mean absolute changes, and a table of all values."""
    columns: list[str | int] = list(NormShift.model_fields)
    table = wandb.Table(columns=columns, data=[list(row.model_dump().values()) for row in record.shift])
    histograms = {name: wandb.Histogram(values) for name, values in shifts_by_term(record).items()}
    return {**histograms, "shift/table": table}


def predictions_table(folder: Path, limit: int) -> wandb.Table:
    """The first `limit` test predictions of a run."""
    columns, rows = first_predictions(folder, limit)
    names: list[Any] = [*columns]
    data: list[Iterable[Any]] = [*rows]
    return wandb.Table(columns=names, data=data, allow_mixed_types=True)


def adapter_artifact(record: Record, folder: Path) -> wandb.Artifact:
    """The run's adapter file. It is not copied, so it must stay in place until it is uploaded."""
    about = {"backbone": record.config["model"]["source"], "method": record.method, "score": record.score}
    artifact = wandb.Artifact(f"adapter-{record.id}", type="adapter", metadata=about)
    artifact.add_file(str((folder / ADAPTER).resolve()), policy="immutable", skip_cache=True)
    return artifact
