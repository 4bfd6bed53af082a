"""The interquartile mean of scores, and the probability that one method is better than another.

Both are from Agarwal et al. (2021), *Deep reinforcement learning at the edge of the statistical precipice*, with
intervals by a bootstrap that draws the seeds of each task anew. docs/statistics.md has the formulas.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
RESAMPLES = 2_000
"""Number of times that the seeds are drawn anew."""
LEVEL = 0.05
"""Error level of each interval by itself."""
SEED = 0
DIGITS = 12
"""Digits after the point that are kept, so that all machines round a number such as 0.625 alike."""


@dataclass(frozen=True)
class Aggregate:
    """A value over several tasks, and the ends of its 95% interval."""

    value: float
    low: float
    high: float

    def written(self, digits: int, factor: float = 1.0) -> str:
        """The three numbers, times a factor."""
        value, low, high = (f"{factor * one:.{digits}f}" for one in (self.value, self.low, self.high))
        return f"{value} [{low}, {high}]"


def interquartile_mean(strata: Sequence[Values]) -> Aggregate:
    """The mean of the middle half of all scores, in which each task has the same weight.

    Scores at the edges of the middle half count with the part of their weight that lies inside. So the mean is defined
    for all numbers of scores; scipy's and rliable's trimmed mean keeps more than half of few scores.

    Args:
        strata: for each task, the scores of its seeds, at least one.
    """
    generator, scores = np.random.default_rng(SEED), np.concatenate(strata)
    weights = np.hstack([_draws(len(one), generator) / len(one) / len(strata) for one in strata])
    order = np.argsort(scores)
    weights = weights[:, order]
    ends = np.cumsum(weights, axis=1)
    inside = np.clip(np.minimum(ends, 0.75) - np.maximum(ends - weights, 0.25), 0.0, None)
    return _aggregate(inside @ scores[order] / 0.5)


def probability_of_improvement(
    strata: Sequence[tuple[Values, Values]], weights: Values, resolution: float = 0.0
) -> Aggregate:
    """The share of pairs of any two seeds in which the left side has the larger score; a tie counts one half.

    Args:
        strata: for each task, the scores of both sides, at least one each.
        weights: weight of each task, with a sum of 1.
        resolution: scores that differ by no more than this are tied.
    """
    generator, found = np.random.default_rng(SEED), np.zeros(1 + RESAMPLES)
    for (left, right), weight in zip(strata, weights, strict=True):
        apart = left[:, None] - right
        wins = 0.5 + 0.5 * np.where(np.abs(apart) > resolution, np.sign(apart), 0.0)
        lefts, rights = (_draws(len(side), generator) for side in (left, right))
        found += weight * ((lefts @ wins) * rights).sum(axis=1) / wins.size
    return _aggregate(found)


def _draws(seeds: int, generator: np.random.Generator) -> Values:
    """How often each seed occurs in the data, and then in each resample, (1 + RESAMPLES, seeds)."""
    drawn = generator.multinomial(seeds, np.full(seeds, 1 / seeds), size=RESAMPLES)
    return np.vstack([np.ones(seeds), drawn])


def _aggregate(values: Values) -> Aggregate:
    """The first value, between the quantiles of the others."""
    exact = np.round(values, DIGITS)
    low, high = np.quantile(exact[1:], [LEVEL / 2, 1 - LEVEL / 2])
    return Aggregate(float(exact[0]), float(low), float(high))
