"""The difference between two groups of runs, from their pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lnbench.report.claims.nested import (
    LEAST_SEEDS,
    LEAST_TASKS,
    Cells,
    Estimate,
    Values,
    on_tasks_like_these,
    on_these_tasks,
)
from lnbench.report.claims.noise import resolution_of, without_noise
from lnbench.report.claims.pairs import SAME

if TYPE_CHECKING:
    import pandas as pd

ROUNDING = 1e-12
"""Largest error of a mean of exact values, as a share of the mean if that is above 1."""
CELL = ["task", "model", "setting"]
"""Columns that are equal for the repetitions of a pair."""
Cell = tuple[str, str, str]


@dataclass(frozen=True)
class Difference:
    """The mean difference of pairs of runs. Tasks weigh equally, and so do the models and settings of one task.

    Attributes:
        counts: number of pairs of each task, model and setting, by these three.
        few: the same for those that are left out, because they have too few pairs. Nothing is left out if all have too
            few.
        mean: mean difference.
        weights: weight of each task, model and setting.
        cells: differences on each task, model and setting; None with too few pairs, or if all have equal pairs, whose
            chance cannot be told.
        here: the difference on these tasks; None without `cells`.
        elsewhere: the difference on tasks like these; None with too few tasks, or if all have the same mean.
    """

    counts: dict[Cell, int]
    few: dict[Cell, int]
    mean: float
    weights: Values
    cells: Cells | None
    here: Estimate | None
    elsewhere: Estimate | None

    @property
    def n(self) -> int:
        """Number of pairs."""
        return sum(self.counts.values())


def difference_of(pairs: pd.DataFrame, resolution: float = 0.0) -> Difference:
    """The difference that pairs show.

    Args:
        pairs: at least one row; the columns are `difference` and those of `CELL`.
        resolution: differences nearer to each other than this count as equal.
    """
    exact = pairs.assign(difference=without_noise(pairs["difference"].to_numpy(np.float64), resolution))
    groups = {_cell(key): own.to_numpy(np.float64) for key, own in exact.groupby(CELL)["difference"]}
    enough = {cell: own for cell, own in groups.items() if len(own) >= LEAST_SEEDS}
    used = enough or groups
    tasks = [task for task, *_ in used]
    weights = np.array([1 / len(set(tasks)) / tasks.count(task) for task in tasks])
    means = np.array([own.mean() for own in used.values()])
    of_tasks = np.array([means[[one == task for one in tasks]].mean() for task in dict.fromkeys(tasks)])
    cells = Cells.of(list(enough.values())) if any(map(_vary, enough.values())) else None
    return Difference(
        counts={cell: len(own) for cell, own in used.items()},
        few={cell: len(own) for cell, own in groups.items() if cell not in used},
        mean=float(of_tasks.mean()),
        weights=weights,
        cells=cells,
        here=on_these_tasks(cells, weights) if cells else None,
        elsewhere=on_tasks_like_these(of_tasks)
        if len(of_tasks) >= LEAST_TASKS and _vary(of_tasks, resolution)
        else None,
    )


def _vary(values: Values, resolution: float = 0.0) -> bool:
    """Whether values differ by more than the resolution, and by more than a mean is rounded."""
    return bool(np.ptp(values) > max(resolution, ROUNDING * max(1.0, abs(values.mean()))))


def difference_of_scores(one: pd.DataFrame, other: pd.DataFrame, factor: float = 1.0) -> Difference | None:
    """The difference of the scores of two methods, from pairs of runs of equal task, model, setting and seed.

    Args:
        one: runs of the left method, whose scores share a unit; from `lnbench.report.load.frame`.
        other: runs of the right method.
        factor: scale of the difference.

    Returns:
        None without pairs.
    """
    pairs = one.merge(other, on=SAME, suffixes=("", "_other"))
    if pairs.empty:
        return None
    resolution = factor * resolution_of(pairs["score"], pairs["score_other"])
    return difference_of(pairs.assign(difference=factor * (pairs["score"] - pairs["score_other"])), resolution)


def _cell(key: Any) -> Cell:
    task, model, setting = map(str, key)
    return task, model, setting
