"""Tests whether a difference between pairs of runs is more than chance.

The rule, by the number of pairs:

- fewer than 3: nothing is tested;
- 3 to 11: paired t-test, t interval and Cohen's d_z. They assume normal differences, but the signed-rank test cannot
  fall far enough here to survive a correction for many comparisons (p is at least 2^(1-n)), and a bootstrap of so few
  values is too narrow;
- 12 and more: Wilcoxon signed-rank test, BCa bootstrap interval of the mean and the matched-pairs rank-biserial
  correlation; none of them assumes a normal distribution.

All tests are two-sided, and all intervals are of 95%. Pairs count as independent, also those of one task.

Scores are counts, such as numbers of right answers, divided by numbers of rows, so equal differences are frequent. They
must stay equal despite rounding errors. Differences that are nearer to each other than a resolution therefore count as
equal, and differences nearer to 0 than that count as 0. The resolution (`lnbench.tasks.scores.metric.RESOLUTION`) is a
millionth of the greatest score. One row of a test set of fewer than a million rows changes a score by more. Rounding,
even to single precision as in records of earlier versions, changes it by less.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEAST_PAIRS, LEAST_FOR_RANKS = 3, 12
CONFIDENCE = 0.95
RESAMPLES = 9_999

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Difference:
    """The mean difference between two groups of paired runs, with its test.

    Attributes:
        n: number of pairs.
        mean: mean of the differences.
        low: lower end of the 95% confidence interval of the mean; None where nothing is tested.
        high: upper end of that interval.
        p: p-value of the hypothesis that there is no difference.
        test: name of the test.
        effect: effect size; 0 is no effect.
        effect_name: name of the effect size's measure.
    """

    n: int
    mean: float
    low: float | None = None
    high: float | None = None
    p: float | None = None
    test: str = ""
    effect: float | None = None
    effect_name: str = ""


def compare(differences: Sequence[float], resolution: float = 0.0) -> Difference:
    """Tests whether the mean of paired differences is 0.

    Args:
        differences: one finite number for each pair, at least one.
        resolution: differences nearer to each other than this count as equal.
    """
    values = without_noise(np.asarray(differences, dtype=np.float64), resolution)
    n, mean = len(values), float(values.mean())
    constant = bool(np.ptp(values) <= 1e-12 * max(1.0, abs(mean)))
    if n < LEAST_PAIRS or (constant and n < LEAST_FOR_RANKS):
        return Difference(n, mean)
    return _by_ranks(values, constant) if n >= LEAST_FOR_RANKS else _by_t(values)


def without_noise(values: Values, resolution: float) -> Values:
    """Makes values equal if their sizes differ by less than the resolution, and sets those near 0 to 0."""
    sizes = np.abs(values)
    order = np.argsort(sizes)
    starts = np.diff(sizes[order], prepend=0.0) > resolution
    groups = np.empty(len(values), dtype=np.int64)
    groups[order] = np.cumsum(starts)
    counts = np.maximum(np.bincount(groups), 1)
    means = np.bincount(groups, weights=sizes) / counts
    return np.where(groups > 0, np.sign(values) * means[groups], 0.0)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """The p-values after Holm's correction for their number. Entries that are None stay None and do not count."""
    from statsmodels.stats.multitest import multipletests

    known = [p for p in p_values if p is not None]
    if not known:
        return list(p_values)
    corrected = iter(multipletests(known, method="holm")[1])
    return [None if p is None else float(next(corrected)) for p in p_values]


def _by_t(values: Values) -> Difference:
    from scipy import stats

    result: Any = stats.ttest_1samp(values, 0.0)
    interval = result.confidence_interval(CONFIDENCE)
    return Difference(
        n=len(values),
        mean=float(values.mean()),
        low=float(interval.low),
        high=float(interval.high),
        p=float(result.pvalue),
        test="paired t",
        effect=float(values.mean() / values.std(ddof=1)),
        effect_name="d_z",
    )


def _by_ranks(values: Values, constant: bool) -> Difference:
    from scipy import stats

    mean = float(values.mean())
    low, high = (mean, mean) if constant else _bootstrap(values)
    moved = values[values != 0]
    signed = np.sign(moved) * stats.rankdata(np.abs(moved))
    return Difference(
        n=len(values),
        mean=mean,
        low=low,
        high=high,
        p=float(stats.wilcoxon(moved).pvalue) if len(moved) else 1.0,
        test="Wilcoxon",
        effect=float(signed.sum() / np.abs(signed).sum()) if len(moved) else 0.0,
        effect_name="r",
    )


def _bootstrap(values: Values) -> tuple[float, float]:
    from scipy import stats

    def mean(values: Values, axis: int) -> NDArray[np.float32]:
        """Mean in single precision. Means that differ only by the order of summation are then equal, as BCa needs."""
        means: Values = values.mean(axis=axis)
        return means.astype(np.float32)

    result: Any = stats.bootstrap(
        (values,), mean, n_resamples=RESAMPLES, confidence_level=CONFIDENCE, rng=np.random.default_rng(0)
    )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)
