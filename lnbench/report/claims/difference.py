"""The difference between two groups of runs, from their pairs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

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
Places = NDArray[np.integer[Any]]


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
    grouped = pairs.groupby(CELL)
    places = grouped.ngroup().to_numpy()
    return _difference(_cells(grouped), places, pairs["difference"].to_numpy(np.float64), resolution)


def differences_of_scores(
    groups: Sequence[pd.DataFrame], which: Iterable[tuple[int, int]], factor: float = 1.0
) -> dict[tuple[int, int], Difference]:
    """Differences of the scores of methods, from pairs of runs of equal task, model, setting and seed.

    Args:
        groups: runs of each method, whose scores share a unit; from `lnbench.report.load.frame`.
        which: the left and the right method of each difference, by their places in `groups`.
        factor: scale of the differences.

    Returns:
        The differences, without those that have no pairs.
    """
    import pandas as pd

    together = pd.concat([group[[*SAME, "score"]] for group in groups], ignore_index=True)
    ends = np.cumsum([len(group) for group in groups])[:-1]
    keys, places = (np.split(by.ngroup().to_numpy(), ends) for by in (together.groupby(SAME), together.groupby(CELL)))
    scores: list[Values] = np.split(together["score"].to_numpy(np.float64), ends)
    cells = _cells(together.groupby(CELL))
    found = {}
    for left, right in which:
        one, other = _matching(keys[left], keys[right])
        if len(one):
            pair = scores[left][one], scores[right][other]
            resolution = factor * resolution_of(*pair)
            found[left, right] = _difference(cells, places[left][one], factor * (pair[0] - pair[1]), resolution)
    return found


def _matching(left: Places, right: Places) -> tuple[Places, Places]:
    """Where the left and where the right keys are of all pairs of equal keys, in the order of the left ones."""
    order = np.argsort(right, kind="stable")
    first, last = (np.searchsorted(right[order], left, side) for side in ("left", "right"))
    counts = last - first
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.repeat(np.arange(len(left)), counts), order[np.repeat(first, counts) + within]


def _difference(known: Sequence[Cell], places: Places, differences: Values, resolution: float) -> Difference:
    """The difference of one pair or more, with the place of each among the known cells."""
    exact = without_noise(differences, resolution)
    groups = {known[place]: exact[places == place] for place in np.unique(places)}
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


def _cells(grouped: Any) -> list[Cell]:
    """The task, model and setting of each group, in the order of the groups' numbers."""
    return [(str(task), str(model), str(setting)) for task, model, setting in grouped.size().index]
