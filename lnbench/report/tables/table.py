"""A table, before it takes the form of a file or a terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from lnbench.methods.base import SEPARATOR

if TYPE_CHECKING:
    import pandas as pd

MISSING = "-"
REFERENCES = ("full", "head")
"""Methods between which all others lie; they come first."""


@dataclass(frozen=True)
class Cell:
    """What stands at one place.

    Attributes:
        text: what is shown.
        value: by which cells of a column are ranked; None takes no part.
        rank: 1 is the best of its column, 2 the second; 0 any other.
    """

    text: str
    value: float | None = None
    rank: int = 0


@dataclass(frozen=True)
class Table:
    """Rows of cells under headings.

    Attributes:
        name: of its files.
        title: for a person.
        columns: headings.
        rows: as many cells each as there are headings.
        data: the numbers behind it, in long form.
        notes: what a reader must know.
        commands: that do the runs that are missing.
    """

    name: str
    title: str
    columns: list[str]
    rows: list[list[Cell]]
    data: pd.DataFrame
    notes: list[str] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Row:
    """Runs that are repetitions of each other, on one task or on several.

    Attributes:
        label: unique in its table.
        variant: the method and its changed settings.
        runs: rows of `lnbench.report.load.frame`.
    """

    label: str
    variant: str
    runs: pd.DataFrame


@dataclass(frozen=True)
class Column:
    """How a column of a table comes about.

    Attributes:
        heading: unique in its table.
        cell: of a row.
        larger: whether larger values are better; None: they are not compared.
    """

    heading: str
    cell: Callable[[Row], Cell]
    larger: bool | None = None


def cells_of(rows: Sequence[Row], columns: Sequence[Column]) -> list[list[Cell]]:
    """All cells by row, the best and second best of a column marked; those that read equal share a rank."""
    by_column = [_ranked([column.cell(row) for row in rows], column.larger) for column in columns]
    return [list(cells) for cells in zip(*by_column, strict=True)]


def rows_of(runs: pd.DataFrame) -> list[Row]:
    """The runs by variant and learning rates: references first, then methods before sums."""
    several = runs.groupby("variant")["lr"].nunique().to_dict()
    rows = [
        Row(f"{variant}, lr {lr}" if several[variant] > 1 else str(variant), str(variant), group)
        for (variant, lr), group in runs.groupby(["variant", "lr"])
    ]
    return sorted(rows, key=lambda row: (row.variant not in REFERENCES, row.variant.count(SEPARATOR), row.label))


def _ranked(cells: Sequence[Cell], larger: bool | None) -> list[Cell]:
    ranks = {} if larger is None else _ranks(cells, larger)
    return [replace(cell, rank=ranks.get(_read(cell), 0)) if cell.value is not None else cell for cell in cells]


def _ranks(cells: Sequence[Cell], larger: bool) -> dict[str, int]:
    """The rank of each number as it reads; none where there is nothing to compare."""
    values = {_read(cell): cell.value for cell in reversed(cells) if cell.value is not None}
    ordered = sorted(values, key=lambda text: values[text], reverse=larger)
    return {text: place for place, text in enumerate(ordered[:2], start=1)} if len(values) > 1 else {}


def _read(cell: Cell) -> str:
    """A cell without its deviation."""
    return cell.text.partition(" ")[0]


def mean_and_deviation(values: Sequence[float], digits: int = 2, scale: float = 1.0) -> Cell:
    """`mean ± standard deviation (n)`, the deviation that of a sample (ddof 1), so left out for a single value."""
    import numpy as np

    scaled = scale * np.asarray(values, dtype=np.float64)
    scaled = scaled[np.isfinite(scaled)]
    if not len(scaled):
        return Cell(MISSING)
    mean = float(scaled.mean())
    spread = f" ± {scaled.std(ddof=1):.{digits}f}" if len(scaled) > 1 else ""
    return Cell(f"{mean:.{digits}f}{spread} ({len(scaled)})", mean)


def long_form(rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    """The numbers of a table as a frame, its columns there even without rows."""
    import pandas as pd

    return pd.DataFrame(list(rows), columns=list(columns))
