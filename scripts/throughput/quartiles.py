"""Summaries of repeated measurements."""

from collections.abc import Sequence

import numpy as np

Quartiles = dict[str, float]
"""The `median`, and the quartiles `low` and `high`, between which half of the values lie."""


def quartiles(values: Sequence[float]) -> Quartiles:
    """Median and quartiles of one value or more."""
    low, median, high = np.percentile(values, [25, 50, 75]).tolist()
    return {"low": low, "median": median, "high": high}


def ratios(values: Sequence[float], references: Sequence[float] | None) -> Quartiles | None:
    """Median and quartiles of values divided by their reference values; None without references."""
    if references is None:
        return None
    return quartiles([value / reference for value, reference in zip(values, references, strict=True)])
