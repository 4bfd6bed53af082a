"""Statistics of paired differences whose seeds are nested in tasks.

There are two questions. For `on_these_tasks` the tasks are fixed, and only the seeds are random. A claim about other
tasks needs `on_tasks_like_these`, for which the tasks are a random sample. docs/statistics.md has formulas and sources.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Decision = Literal["better", "worse", "no difference that matters", "not decided"]
LEAST_SEEDS = 3
"""Least number of seeds of each task at which an interval is taken."""
LEAST_TASKS = 2


@dataclass(frozen=True)
class Cells:
    """Paired differences on each task. All arrays have one shape, whose last axis is over tasks.

    Attributes:
        mean: mean over the seeds.
        variance: variance over the seeds.
        count: number of seeds.
    """

    mean: Values
    variance: Values
    count: Values

    @classmethod
    def of(cls, differences: Sequence[Values]) -> "Cells":
        """The cells of single differences.

        Args:
            differences: for each task, an array whose last axis is over its seeds; tasks may differ in their number.

        Raises:
            ValueError: a task has too few seeds.
        """
        _check_number("seeds of each task", min(one.shape[-1] for one in differences), LEAST_SEEDS)
        return cls(
            np.stack([one.mean(axis=-1) for one in differences], axis=-1),
            np.stack([one.var(axis=-1, ddof=1) for one in differences], axis=-1),
            np.stack([np.full(one.shape[:-1], float(one.shape[-1])) for one in differences], axis=-1),
        )


@dataclass(frozen=True)
class Estimate:
    """Mean differences, each an array over comparisons.

    Attributes:
        mean: mean difference.
        error: standard error of the mean.
        freedom: degrees of freedom of its t distribution.
    """

    mean: Values
    error: Values
    freedom: Values

    def interval(self, level: float) -> tuple[Values, Values]:
        """Lower and upper ends of the two-sided confidence intervals.

        Args:
            level: error level, such as 0.05.

        Raises:
            ValueError: the level is not between 0 and 1.
        """
        reach = self.error * quantile(level, self.freedom)
        return self.mean - reach, self.mean + reach


def on_these_tasks(cells: Cells, weights: Values | None = None) -> Estimate:
    """The mean difference on just these tasks. Each task has a variance of its own.

    Args:
        cells: differences on each task.
        weights: weight of each task, with a sum of 1; None weighs all equally.
    """
    weight = np.full(cells.mean.shape[-1], 1 / cells.mean.shape[-1]) if weights is None else weights
    parts = weight**2 * cells.variance / cells.count
    variance = parts.sum(axis=-1)
    squares = (parts**2 / (cells.count - 1)).sum(axis=-1)
    usual = np.asarray(cells.count.min(axis=-1) - 1)
    freedom = np.divide(variance**2, squares, out=usual, where=squares > 0)
    return Estimate((weight * cells.mean).sum(axis=-1), np.sqrt(variance), freedom)


def on_tasks_like_these(means: Values) -> Estimate:
    """The mean difference over all tasks of which these are a random sample.

    Args:
        means: mean difference on each task; the last axis is over tasks.

    Raises:
        ValueError: there are too few tasks.
    """
    tasks = means.shape[-1]
    _check_number("tasks", tasks, LEAST_TASKS)
    error = means.std(axis=-1, ddof=1) / np.sqrt(tasks)
    return Estimate(means.mean(axis=-1), error, np.full_like(error, float(tasks - 1)))


def interval_with(noise: Estimate, found: Estimate, level: float) -> tuple[Values, Values]:
    """The confidence intervals of estimates that have independent noise of another kind besides.

    The squares of the distances from mean to end add up, that of the estimate and that of the noise (Zou and Donner,
    2008, *Construction of confidence limits about effect measures*). So no interval is narrower than without the noise.

    Args:
        noise: the noise, with a mean of 0.
        found: estimates whose error does not include it.
        level: error level, such as 0.05.

    Raises:
        ValueError: the level is not between 0 and 1.
    """
    reach = np.hypot(*(one.error * quantile(level, one.freedom) for one in (noise, found)))
    return found.mean - reach, found.mean + reach


def decisions(found: Estimate, level: float, margin: float | None) -> NDArray[np.str_]:
    """What each estimate decides, as an array of `Decision`.

    A difference is better or worse if the interval of the level excludes 0. It does not matter if two one-sided tests
    of that level, that is an interval of twice the level, place it within the margin. Where both hold, it does not
    matter: it is not 0, but surely smaller than the margin. Of all three, at most one error is possible, with a
    probability of at most the level: see docs/statistics.md.

    Args:
        found: estimates whose positive means favour the left side.
        level: error level of each decision, less than 1/2.
        margin: size from which on a difference matters, in the unit of the differences; None if it is not known.
    """
    low, high = found.interval(level)
    cases, names = [low > 0, high < 0], ["better", "worse"]
    if margin is not None:
        low, high = found.interval(2 * level)
        cases, names = [(low > -margin) & (high < margin), *cases], ["no difference that matters", *names]
    return np.select(cases, names, "not decided")


def quantile(level: float, freedom: Values) -> Values:
    """The size that a t distributed number exceeds, in either direction, with a probability of the level.

    Raises:
        ValueError: the level is not between 0 and 1.
    """
    from scipy.special import stdtrit  # scipy.stats takes ten times as long to import

    if not 0 < level < 1:
        raise ValueError(f"level = {level}: must be between 0 and 1")
    found: Any = -stdtrit(freedom, level / 2)
    return np.asarray(found, dtype=np.float64)


def _check_number(name: str, number: int, least: int) -> None:
    if number < least:
        raise ValueError(f"{number} {name}: must be at least {least}")
