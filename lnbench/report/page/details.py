"""The facts about single runs on the page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lnbench.records.baseline import marked, note_on
from lnbench.records.record import Record
from lnbench.records.setting import leaves
from lnbench.report.history import Curve, read_curves, thinned
from lnbench.report.tables.table import MISSING, Cell
from lnbench.tasks.scores.metric import Mode, metric_of, written

if TYPE_CHECKING:
    import pandas as pd

    from lnbench.report.load import Loaded

APART = ("id", "format", "status", "config", "shift", "metrics", "baseline", "baseline_name", "selection")
"""Fields of a record that the details leave out or show elsewhere."""
MOST_OPENED = 2_000
"""Largest number of runs whose details are on the page."""
HEADINGS = (
    "run",
    "method",
    "task",
    "model",
    "seed",
    "metric",
    "test",
    "validation",
    "trained %",
    "train s",
    "peak GiB",
    "lr",
    "setting",
    "finished",
)
"""Columns of the list of runs."""
SHOWN = ["id", "variant", "task", "model", "seed", "metric", "mode", "score", "validation_score", "no_better"]
SHOWN += ["trained_percent", "train_seconds", "peak_memory_bytes", "lr", "setting", "finished_at"]
"""Columns of the table of runs from which the list is made."""


def details(loaded: Loaded) -> dict[str, dict[str, Any]]:
    """The details of each run, as JSON values by the run's id."""
    return {record.id: _details(record, loaded) for record in loaded.records}


def run_rows(runs: pd.DataFrame) -> list[list[Cell]]:
    """The cells of the list of runs, by the columns of `HEADINGS`."""
    rows: list[dict[str, Any]] = runs[SHOWN].to_dict("records")  # type: ignore[assignment]
    return [_cells(**row) for row in rows]


def problem_rows(loaded: Loaded) -> list[dict[str, str]]:
    """Every run that is not in the report, with the reason."""
    return [
        {
            "state": found.state,
            "folder": str(found.folder),
            "reason": found.reason,
            "traceback": found.failure.traceback if found.failure else "",
        }
        for found in loaded.problems
    ]


def _cells(metric: str, mode: Mode, score: float, validation_score: float, no_better: bool, **row: Any) -> list[Cell]:
    shown = metric_of(metric, mode)
    return [
        Cell(row["id"]),
        Cell(row["variant"]),
        Cell(row["task"]),
        Cell(row["model"]),
        Cell(str(row["seed"])),
        Cell(shown.title),
        Cell(marked(shown.written(score), no_better), score),
        Cell(shown.written(validation_score), validation_score),
        Cell(f"{row['trained_percent']:.3f}", row["trained_percent"]),
        Cell(f"{row['train_seconds']:,.1f}", row["train_seconds"]),
        Cell(f"{row['peak_memory_bytes'] / 2**30:.2f}", row["peak_memory_bytes"]),
        Cell(row["lr"]),
        Cell(row["setting"] or MISSING),
        Cell(row["finished_at"][:16].replace("T", " ")),
    ]


def _details(record: Record, loaded: Loaded) -> dict[str, Any]:
    folder = loaded.folders[record.id]
    dumped = record.model_dump(mode="json", exclude=set(APART))
    return {
        "folder": str(folder),
        "metric": record.selection.metric,
        "axis": metric_of(record.selection.metric, record.selection.mode).logged,
        "scores": {split: written(scores) for split, scores in record.metrics.items()},
        "baseline": {split: written(scores) for split, scores in record.baseline.items()},
        "baseline_name": record.baseline_name,
        "note": note_on(record),
        "about": dict(leaves(dumped)),
        "config": dict(leaves(record.config)),
        "curves": {name: _points(curve) for name, curve in read_curves(folder).items()},
    }


def _points(curve: Curve) -> dict[str, list[float]]:
    points = thinned(curve)
    return {"x": list(points), "y": [float(f"{value:.5g}") for value in points.values()]}
