"""Reads the metrics of runs by step, from their metrics.csv."""

import csv
import math
from collections.abc import Sequence
from pathlib import Path

from lnbench.records.packed import history_of

MOST_POINTS = 200
"""Largest number of points of a curve in a plot."""

Curve = dict[int, float]
"""Values by training step, in the order of the steps."""


def read_curves(folder: Path) -> dict[str, Curve]:
    """The finite values of each column of a run's metrics.csv; empty if the file is missing or damaged."""
    try:
        return _curves(list(csv.reader(history_of(folder).splitlines())))
    except csv.Error:
        return {}


def mean_curve(curves: Sequence[Curve]) -> Curve:
    """The mean over several runs, at the steps that all of them have."""
    common = [step for step in curves[0] if all(step in curve for curve in curves)] if curves else []
    return {step: math.fsum(curve[step] for curve in curves) / len(curves) for step in common}


def thinned(curve: Curve) -> Curve:
    """At most 200 points of a curve, evenly spaced, with the first and the last one."""
    points = list(curve.items())
    if len(points) <= MOST_POINTS:
        return curve
    last = len(points) - 1
    return dict(points[round(place * last / (MOST_POINTS - 1))] for place in range(MOST_POINTS))


def _curves(rows: Sequence[Sequence[str]]) -> dict[str, Curve]:
    header = rows[0] if rows else []
    if "step" not in header:
        return {}
    place = header.index("step")
    curves: dict[str, Curve] = {name: {} for name in header if name not in ("epoch", "step")}
    for row in rows[1:]:
        step = _number(row[place]) if len(row) == len(header) else None
        if step is None:
            continue
        for name, text in zip(header, row, strict=True):
            if name in curves and text and (value := _number(text)) is not None:
                curves[name][int(step)] = value
    return {name: curve for name, curve in curves.items() if curve}


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
