"""Results of a finished run that are sent to Weights & Biases besides its curves."""

import json
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import wandb

from lnbench.records.files import ADAPTER, PREDICTIONS
from lnbench.records.record import Record
from lnbench.records.shift import NormShift
from lnbench.tasks.base import INPUT

BEST = {"validation": "best"}
"""Prefix of a split's scores at the best step. The plain names hold the last scores, which come from the curves."""


def summary_values(record: Record) -> dict[str, float]:
    """Single numbers by which runs are compared. The scores of the best validation are named `best/...`."""
    groups: dict[str, dict[str, Any]] = {
        **{BEST.get(split, split): scores for split, scores in record.metrics.items()},
        "parameters": record.parameters.model_dump(exclude={"by_part"}),
        "cost": record.cost.model_dump(exclude_none=True),
    }
    values = {f"{group}/{name}": value for group, values in groups.items() for name, value in values.items()}
    return {"score": record.score, **values}


def shift_charts(shift: Sequence[NormShift]) -> dict[str, wandb.Histogram | wandb.Table]:
    """A histogram for each term, of the norms' mean absolute changes, and a table of all values."""
    changes: dict[str, list[float]] = {}
    for row in shift:
        changes.setdefault(f"shift/{row.term}", []).append(row.mean_abs)
    columns: list[str | int] = list(NormShift.model_fields)
    table = wandb.Table(columns=columns, data=[list(row.model_dump().values()) for row in shift])
    return {**{name: wandb.Histogram(values) for name, values in changes.items()}, "shift/table": table}


def predictions_table(folder: Path, limit: int) -> wandb.Table:
    """The first `limit` test predictions of a run. Inputs become columns `input.COLUMN`, and lists and objects JSON."""
    with (folder / PREDICTIONS).open(encoding="utf-8") as file:
        rows = [_flat(json.loads(line)) for line in islice(file, limit)]
    columns: list[Any] = list(dict.fromkeys(name for row in rows for name in row))
    data: list[Iterable[Any]] = [[_cell(row.get(name)) for name in columns] for row in rows]
    return wandb.Table(columns=columns, data=data, allow_mixed_types=True)


def adapter_artifact(record: Record, folder: Path) -> wandb.Artifact:
    """The run's adapter file. It is not copied, so it must stay in place until it is uploaded."""
    about = {"backbone": record.config["model"]["source"], "method": record.method, "score": record.score}
    artifact = wandb.Artifact(f"adapter-{record.id}", type="adapter", metadata=about)
    artifact.add_file(str((folder / ADAPTER).resolve()), policy="immutable", skip_cache=True)
    return artifact


def _flat(prediction: dict[str, Any]) -> dict[str, Any]:
    """The input's columns beside the outputs. Predictions of an earlier version contain no input."""
    given = prediction.get(INPUT)
    if not isinstance(given, dict):
        return prediction
    outputs = {name: value for name, value in prediction.items() if name != INPUT}
    return {**{f"{INPUT}.{name}": value for name, value in given.items()}, **outputs}


def _cell(value: Any) -> Any:
    return value if value is None or isinstance(value, str | int | float) else json.dumps(value, ensure_ascii=False)
