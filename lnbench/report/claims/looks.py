"""A rule for runs that go on until they decide: when the data are looked at, at which level, and which runs come next.

It is described, with what it guarantees and a simulation, in docs/statistics.md.
"""

from collections.abc import Generator
from math import ceil, sqrt

import numpy as np
from numpy.typing import NDArray

from lnbench.report.claims.nested import LEAST_SEEDS, Cells, Values

Counts = NDArray[np.int64]
PRIOR = 3.0
"""Degrees of freedom with which the variance of a task is drawn towards the mean variance of all tasks."""


def sizes(most_seeds: int) -> list[int]:
    """The mean numbers of seeds of a task at which the data are looked at: 3, 4, ..., growing by a fifth.

    The largest number is the last.

    Raises:
        ValueError: `most_seeds` is less than `LEAST_SEEDS`.
    """
    if most_seeds < LEAST_SEEDS:
        raise ValueError(f"most_seeds = {most_seeds}: must be at least {LEAST_SEEDS}")
    found, size = [], LEAST_SEEDS
    while size + _step(size) // 2 < most_seeds:
        found.append(size)
        size += _step(size)
    return [*found, most_seeds]


def levels(level: float, comparisons: int, most_seeds: int) -> list[float]:
    """The error level of a decision at each look. All decisions of all looks then hold together with 1 - `level`.

    The levels add up to the share of one comparison. They grow with the square root of the number of seeds, since few
    seeds are rarely enough, and the t distribution of their mean is the least exact.

    Args:
        level: error level of the whole family, such as 0.05.
        comparisons: number of comparisons.
        most_seeds: largest number of seeds of a task.
    """
    weights = [sqrt(size) for size in sizes(most_seeds)]
    return [level / comparisons * weight / sum(weights) for weight in weights]


def looks(tasks: int, most_seeds: int, shape: tuple[int, ...] = ()) -> Generator[Counts, tuple[Cells, Values], None]:
    """The numbers of seeds of each task at one look after the other.

    They depend only on the variances and costs seen at earlier looks. So the looks are the same for everyone who asks,
    and whoever has made the runs.

    Args:
        tasks: number of tasks.
        most_seeds: largest number of seeds of a task.
        shape: shape of the arrays of comparisons that go on together; all arrays have it before the axis of the tasks.

    Yields:
        The numbers of seeds. The caller sends the cells with these numbers, and the seconds of a pair on each task.
    """
    counts = np.full((*shape, tasks), LEAST_SEEDS)
    _, *others = sizes(most_seeds)
    cells, seconds = yield counts
    for size in others:
        counts = allocated(cells, seconds, size * tasks, most_seeds)
        cells, seconds = yield counts


def allocated(cells: Cells, seconds: Values, total: int, most_seeds: int) -> Counts:
    """The numbers of seeds, with a sum of `total`, that give most information per second.

    Pair after pair goes to the task where it lowers the variance of the mean difference most for its time. The numbers
    are then near Neyman's, in proportion to the standard deviation and the inverse square root of the time. No task
    gets less than half of an equal share, because a variance that looks small by chance would else stay so.

    Args:
        cells: differences so far.
        seconds: time of a pair on each task.
        total: number of pairs over all tasks, at most `most_seeds` for each.
        most_seeds: largest number of seeds of a task.
    """
    freedom = cells.count - 1
    together = (freedom * cells.variance).sum(axis=-1, keepdims=True) / freedom.sum(axis=-1, keepdims=True)
    variance = (PRIOR * together + freedom * cells.variance) / (PRIOR + freedom)
    worth = np.where(together > 0, variance, 1.0) / seconds
    counts = np.array(cells.count, dtype=np.int64)
    least = ceil(total / counts.shape[-1] / 2)
    for _ in range(total - int(counts.sum(axis=-1).max())):
        gain = np.where(counts < least, np.inf, worth / (counts * (counts + 1)))
        place = np.where(counts < most_seeds, gain, -1.0).argmax(axis=-1)[..., None]
        np.put_along_axis(counts, place, np.take_along_axis(counts, place, axis=-1) + 1, axis=-1)
    return counts


def _step(size: int) -> int:
    return max(1, size // 5)
