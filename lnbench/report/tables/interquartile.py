"""The table of interquartile means: methods by units."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from lnbench.report.claims.aggregates import Aggregate, interquartile_mean
from lnbench.report.claims.nested import LEAST_SEEDS
from lnbench.report.tables.table import MARKS, MISSING, Cell, Column, Row, Table, cells_of, long_form, rows_of
from lnbench.report.tables.units import averaged, heading_of, metric_in
from lnbench.tasks.scores.metric import Metric

if TYPE_CHECKING:
    import pandas as pd

DATA = ["method", "scores", "tasks", "interquartile_mean", "low", "high"]
NORMALISED = "normalised (%)"
SCALE = Metric(NORMALISED, NORMALISED, factor=100, digits=1)
WHAT = (
    "The mean of the middle half of all scores of a method, in which each task has the same weight. In brackets: a 95% "
    "interval by a bootstrap that draws the seeds of each task anew; with few seeds it is too narrow. Only methods "
    f"with at least {LEAST_SEEDS} seeds on each task."
)
ABOUT_SCALE = (
    "Normalised: 0 is the baseline that ignores the input, and 100 the mean score of the best method on the task. "
    "Without this, the middle half is often that of the tasks that are neither easy nor hard."
)


@dataclass(frozen=True)
class _Scores:
    """Scores that can be averaged over tasks.

    Attributes:
        heading: their name.
        column: their column in the runs.
        tasks: tasks that have them.
        metric: their scale.
        larger: whether larger ones are better.
    """

    heading: str
    column: str
    tasks: list[str]
    metric: Metric
    larger: bool


def interquartile_table(runs: pd.DataFrame, name: str, title: str) -> Table | None:
    """The interquartile means of methods over the tasks of each unit, and of normalised scores over all tasks.

    Args:
        runs: runs of one model and one setting.
        name: name of the table's files.
        title: text with the common properties of the runs.

    Returns:
        None if no method has enough seeds on several tasks.
    """
    runs = runs.assign(**{NORMALISED: normalised(runs)})
    kinds = list(_kinds(runs))
    means = {row.label: [_mean(row, kind) for kind in kinds] for row in rows_of(runs)}
    rows = [row for row in rows_of(runs) if any(means[row.label])]
    if not rows:
        return None
    columns = [
        Column("method", lambda row: Cell(row.label)),
        *(
            Column(kind.heading, partial(_cell, means=means, place=place, metric=kind.metric), kind.larger)
            for place, kind in enumerate(kinds)
        ),
    ]
    return Table(
        name=name,
        title=f"Interquartile means: {title}",
        columns=[column.heading for column in columns],
        rows=cells_of(rows, columns),
        data=long_form([line for row in rows for line in _numbers(row.label, means[row.label], kinds)], DATA),
        notes=[WHAT, *([ABOUT_SCALE] if kinds[-1].column == NORMALISED else []), MARKS],
    )


def normalised(runs: pd.DataFrame) -> pd.Series[float]:
    """The scores on the scale of each task on which its baseline is 0 and the mean of its best method 1.

    NaN on tasks without a baseline, or where no method is better than it.
    """
    import numpy as np

    sign = np.where(runs["mode"] == "min", -1.0, 1.0)
    baseline = sign * runs.groupby("task")["baseline_score"].transform("first").astype(float)
    means = sign * runs.groupby(["task", "variant", "lr"])["score"].transform("mean")
    reach = means.groupby(runs["task"]).transform("max") - baseline
    scaled: pd.Series[float] = (sign * runs["score"] - baseline) / reach.where(reach > 0)
    return scaled


def _kinds(runs: pd.DataFrame) -> Iterator[_Scores]:
    for found in averaged(runs).values():
        metric = metric_in(found)
        yield _Scores(heading_of(found), "score", sorted(found["task"].unique()), metric, metric.mode == "max")
    known = runs.groupby("task")[NORMALISED].count()
    if len(known) > 1 and known.all():
        yield _Scores(NORMALISED, NORMALISED, sorted(known.index), SCALE, larger=True)


def _mean(row: Row, kind: _Scores) -> Aggregate | None:
    """The interquartile mean of one method; None with too few seeds."""
    scores = row.runs.dropna(subset=[kind.column])
    strata = [scores.loc[scores["task"] == task, kind.column].to_numpy(float) for task in kind.tasks]
    return interquartile_mean(strata) if min(map(len, strata)) >= LEAST_SEEDS else None


def _cell(row: Row, means: Mapping[str, Sequence[Aggregate | None]], place: int, metric: Metric) -> Cell:
    found = means[row.label][place]
    return Cell(MISSING) if found is None else Cell(found.written(metric.digits, metric.factor), found.value)


def _numbers(label: str, means: Sequence[Aggregate | None], kinds: Sequence[_Scores]) -> Iterator[dict[str, object]]:
    for found, kind in zip(means, kinds, strict=True):
        if found:
            line = (label, kind.heading, ", ".join(kind.tasks), found.value, found.low, found.high)
            yield dict(zip(DATA, line, strict=True))
