"""How many more seeds decide what is open."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lnbench.report.claims.nested import Cells, Values, on_these_tasks, quantile

POWER = 0.8
MOST = 10_000
"""Largest number of further seeds that is considered."""


def seeds_to_decide(cells: Cells, weights: Values, level: float, margin: float | None) -> int | None:
    """The least number of further seeds of each task that decides a comparison with a probability of 80%.

    The true difference and the variances are taken to be those seen so far, so the number is as uncertain as they are.

    Args:
        cells: differences on each task, of one comparison.
        weights: weight of each task.
        level: error level of the decision.
        margin: size from which on a difference matters; None if it is not known.

    Returns:
        The number, at least 1; None if it is larger than 10,000.
    """

    def enough(more: int) -> bool:
        return chance(replace(cells, count=cells.count + more), weights, level, margin) >= POWER

    high = 1
    while not enough(high):
        if high > MOST:
            return None
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high if high <= MOST else None


def chance(cells: Cells, weights: Values, level: float, margin: float | None) -> float:
    """The probability that these numbers of seeds decide, if the means and variances are the true ones.

    The mean difference is taken as normal around the true one, and its standard error as known.

    Args:
        cells: means, variances and numbers of seeds, of one comparison.
        weights: weight of each task.
        level: error level of the decision.
        margin: size from which on a difference matters; None if it is not known.
    """
    from scipy.special import ndtr

    found = on_these_tasks(cells, weights)
    size, error = abs(float(found.mean)), max(float(found.error), 1e-300)
    reach = float(quantile(level, found.freedom)) * error
    lies: list[tuple[float, float]] = [(reach, np.inf), (-np.inf, -reach)]
    if margin is not None:
        inside = margin - float(quantile(2 * level, found.freedom)) * error
        if inside > 0:
            lies = [(-inside, inside), (max(reach, inside), np.inf), (-np.inf, -max(reach, inside))]
    return float(sum(ndtr((high - size) / error) - ndtr((low - size) / error) for low, high in lies))
