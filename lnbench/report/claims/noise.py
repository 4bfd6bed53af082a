"""Makes scores and differences equal if they differ only by rounding errors.

Scores are counts, such as numbers of right answers, divided by numbers of rows, so equal differences are frequent. They
must stay equal despite rounding errors. Differences that are nearer to each other than a resolution therefore count as
equal, and differences nearer to 0 than that count as 0. The resolution (`lnbench.tasks.scores.metric.RESOLUTION`) is a
millionth of the greatest score. One row of a test set of fewer than a million rows changes a score by more. Rounding,
even to single precision as in records of earlier versions, changes it by less.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lnbench.tasks.scores.metric import RESOLUTION

if TYPE_CHECKING:
    import pandas as pd

Values = NDArray[np.float64]


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


def resolution_of(*scores: pd.Series[float] | Values) -> float:
    """The size below which differences of these scores count as 0."""
    sizes = np.abs(np.concatenate([np.asarray(column, dtype=np.float64) for column in scores]))
    known = sizes[~np.isnan(sizes)]
    return RESOLUTION * float(known.max(initial=0.0))
