"""The possible ranks of several methods, given the chance in the seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from lnbench.report.claims.difference import differences_of_scores

if TYPE_CHECKING:
    import pandas as pd

LEVEL = 0.05
"""Error level of all comparisons of a ranking together. Each one has its share, by Bonferroni's method."""


@dataclass(frozen=True)
class Ranks:
    """The ranks that a method can have: one more than the number of surely better ones, up to the number of those that
    are not surely worse."""

    best: int
    worst: int

    def __str__(self) -> str:
        return str(self.best) if self.best == self.worst else f"{self.best} to {self.worst}"


def ranks_of(methods: Sequence[pd.DataFrame], larger: bool) -> list[Ranks]:
    """The ranks of all methods; empty if no two of them can be compared.

    One method is surely better than another if the interval of their mean difference on these tasks, from pairs of
    runs of equal task, model, setting and seed, excludes 0. The true ranks all lie within these bounds with a
    probability of 1 - `LEVEL`, since no error among all pairs of methods is that probable.

    Args:
        methods: runs of each method on the same tasks, whose scores share a unit; from `lnbench.report.load.frame`.
        larger: whether larger scores are better.
    """
    differences = differences_of_scores(methods, combinations(range(len(methods)), 2)) if methods else {}
    found = {pair: difference.here for pair, difference in differences.items() if difference.here}
    better, worse = [0] * len(methods), [0] * len(methods)
    for (one, other), estimate in found.items():
        low, high = estimate.interval(LEVEL / len(found))
        if low > 0 or high < 0:
            above, below = (one, other) if (low > 0) == larger else (other, one)
            better[below] += 1
            worse[above] += 1
    ranks = [Ranks(1 + above, len(methods) - below) for above, below in zip(better, worse, strict=True)]
    return ranks if found else []
