"""Statistics of paired differences whose seeds are nested in tasks, and a rule for looking at them more than once.

Two questions are kept apart. `on_these_tasks` takes the tasks as given: the only chance is in the seeds. A claim about
other tasks needs `on_tasks_like_these`, for which the tasks are a sample. docs/statistics.md has formulas and sources.
"""

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
class Estimate:
    """Mean differences with their intervals, each an array over comparisons.

    Attributes:
        mean: mean of the tasks' mean differences.
        low: lower end of the confidence interval.
        high: upper end.
        freedom: degrees of freedom of the t distribution.
    """

    mean: Values
    low: Values
    high: Values
    freedom: Values


def on_these_tasks(differences: Values, level: float) -> Estimate:
    """The mean difference on just these tasks. Each task counts the same, and has a variance of its own.

    Args:
        differences: paired differences; the last two axes are tasks and seeds.
        level: error level of the two-sided interval, such as 0.05.

    Raises:
        ValueError: there are too few seeds, or the level is not between 0 and 1.
    """
    tasks, seeds = differences.shape[-2:]
    _check(level, "seeds of each task", seeds, LEAST_SEEDS)
    parts = differences.var(axis=-1, ddof=1) / seeds / tasks**2
    variance = parts.sum(axis=-1)
    squares = (parts**2).sum(axis=-1) / (seeds - 1)
    freedom = np.divide(variance**2, squares, out=np.full_like(variance, float(seeds - 1)), where=squares > 0)
    return _estimate(differences.mean(axis=(-2, -1)), variance, freedom, level)


def on_tasks_like_these(differences: Values, level: float) -> Estimate:
    """The mean difference over all tasks of which these are a random sample, from the tasks' means.

    Args:
        differences: paired differences; the last two axes are tasks and seeds.
        level: error level of the two-sided interval, such as 0.05.

    Raises:
        ValueError: there are too few tasks, or the level is not between 0 and 1.
    """
    tasks = differences.shape[-2]
    _check(level, "tasks", tasks, LEAST_TASKS)
    means = differences.mean(axis=-1)
    variance = means.var(axis=-1, ddof=1) / tasks
    return _estimate(means.mean(axis=-1), variance, np.full_like(variance, float(tasks - 1)), level)


def decisions(found: Estimate, margin: float) -> NDArray[np.str_]:
    """What each interval decides, as an array of `Decision`.

    An interval inside the margin decides first: a difference that is not 0, but surely smaller than the margin, is no
    difference that matters.

    Args:
        found: estimates whose positive means favour the left side.
        margin: largest size of a difference that does not matter, in the unit of the differences.
    """
    inside = (found.low > -margin) & (found.high < margin)
    cases = [inside, found.low > 0, found.high < 0]
    return np.select(cases, ["no difference that matters", "better", "worse"], "not decided")


def looks(most_seeds: int) -> list[int]:
    """The numbers of seeds at which the data are looked at: 3, 4, 6, 8, 12, 16, ..., and the largest number last.

    Raises:
        ValueError: `most_seeds` is less than `LEAST_SEEDS`.
    """
    if most_seeds < LEAST_SEEDS:
        raise ValueError(f"most_seeds = {most_seeds}: must be at least {LEAST_SEEDS}")
    powers = [number for power in range(most_seeds.bit_length()) for number in (3 * 2**power, 4 * 2**power)]
    return [*(number for number in powers if number < most_seeds), most_seeds]


def level_of_a_look(level: float, comparisons: int, most_seeds: int) -> float:
    """The error level of each interval for which all intervals of all looks hold together with 1 - `level`.

    Args:
        level: error level of the whole family, such as 0.05.
        comparisons: number of comparisons.
        most_seeds: largest number of seeds.
    """
    return level / comparisons / len(looks(most_seeds))


def _check(level: float, name: str, number: int, least: int) -> None:
    if number < least:
        raise ValueError(f"{number} {name}: must be at least {least}")
    if not 0 < level < 1:
        raise ValueError(f"level = {level}: must be between 0 and 1")


def _estimate(mean: Values, variance: Values, freedom: Values, level: float) -> Estimate:
    from scipy import stats

    quantile: Any = stats.t.isf(level / 2, freedom)
    reach = quantile * np.sqrt(variance)
    return Estimate(mean, mean - reach, mean + reach, freedom)
