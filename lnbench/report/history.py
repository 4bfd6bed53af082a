"""Reads the metrics of runs by step, from their metrics.csv."""

import csv
import functools
import math
from collections.abc import Collection, Sequence
from itertools import compress
from pathlib import Path

from lnbench.records.packed import history_of

MOST_POINTS = 200
"""Largest number of points of a curve in a plot."""

REMEMBERED = 100
"""Number of columns of steps that are kept in memory."""

Curve = dict[int, float]
"""Values by training step, in the order of the steps."""


def read_curves(folder: Path, names: Collection[str] | None = None) -> dict[str, Curve]:
    """The finite values of each column of a run's metrics.csv; empty if the file is missing or damaged.

    Args:
        folder: folder of the run, or its path in a packed file.
        names: the columns that are wanted; None: all.
    """
    history = history_of(folder)
    lines = history.splitlines()
    try:
        columns = _columns(list(csv.reader(lines))) if '"' in history else _plain_columns(lines)
    except csv.Error:
        return {}
    steps = _steps(tuple(columns.pop("step", ())))
    wanted = columns.keys() - {"epoch"} if names is None else columns.keys() & names
    curves = {name: _curve(steps, columns[name]) for name in columns if name in wanted}
    return {name: curve for name, curve in curves.items() if curve}


def mean_curve(curves: Sequence[Curve]) -> Curve:
    """The mean over several runs, at the steps that all of them have."""
    if not curves:
        return {}
    everywhere = set(curves[0]).intersection(*curves[1:])
    common = [step for step in curves[0] if step in everywhere]
    return {step: math.fsum(curve[step] for curve in curves) / len(curves) for step in common}


def thinned(curve: Curve) -> Curve:
    """At most 200 points of a curve, evenly spaced, with the first and the last one."""
    points = list(curve.items())
    if len(points) <= MOST_POINTS:
        return curve
    last = len(points) - 1
    return dict(points[round(place * last / (MOST_POINTS - 1))] for place in range(MOST_POINTS))


def _plain_columns(lines: Sequence[str]) -> dict[str, Sequence[str]]:
    """The columns of a table without quotes. Lines of equal length are taken apart together, which is faster."""
    header = lines[0].split(",") if lines else []
    if {line.count(",") for line in lines} != {len(header) - 1}:
        return _columns([line.split(",") for line in lines])
    cells = ",".join(lines[1:]).split(",")
    return {name: cells[place :: len(header)] for place, name in enumerate(header)} if "step" in header else {}


def _columns(rows: Sequence[Sequence[str]]) -> dict[str, Sequence[str]]:
    """The columns of a table by their names, without rows of another length; none if there are no steps."""
    header = rows[0] if rows else []
    whole = [row for row in rows[1:] if len(row) == len(header)]
    return {name: [row[place] for row in whole] for place, name in enumerate(header)} if "step" in header else {}


def _curve(steps: Sequence[float], texts: Sequence[str]) -> Curve:
    known = [*compress(steps, texts)]
    values = _numbers([*filter(None, texts)])
    if not all(map(math.isfinite, known)) or not all(map(math.isfinite, values)):
        finite = [math.isfinite(step) and math.isfinite(value) for step, value in zip(known, values, strict=True)]
        known, values = [*compress(known, finite)], [*compress(values, finite)]
    return dict(zip(map(int, known), values, strict=True))


@functools.lru_cache(maxsize=REMEMBERED)
def _steps(texts: tuple[str, ...]) -> list[float]:
    """The numbers of a column of steps, which many runs share."""
    return _numbers(texts)


def _numbers(texts: Sequence[str]) -> list[float]:
    """The numbers that texts tell; NaN for a text that is no number."""
    try:
        return [*map(float, texts)]
    except ValueError:
        return [_number(text) for text in texts]


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
