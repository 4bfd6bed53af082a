"""A table, independent of the format of its output."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from lnbench.methods.base import SEPARATOR

if TYPE_CHECKING:
    import pandas as pd

MISSING = "-"
MARKS = "Bold: best of the column; underlined or in italics: second best."
OF_SCORES = ("scores-", "interquartile-", "ablations-")
"""Prefixes of the names of tables that show scores."""
REFERENCES = ("full", "head")
"""Methods that serve as upper and lower reference for all others. They come first."""


@dataclass(frozen=True)
class Cell:
    """One cell of a table.

    Attributes:
        text: text to show.
        value: number by which the cells of a column are ranked; a cell with None has no rank.
        rank: 1 for the best of its column, 2 for the second best, 0 for all others.
    """

    text: str
    value: float | None = None
    rank: int = 0


@dataclass(frozen=True)
class Table:
    """Rows of cells, under headings.

    Attributes:
        name: name of the table's files, without the ending.
        title: title for people.
        columns: headings.
        rows: rows with one cell for each heading.
        data: numbers behind the cells, in long form.
        notes: notes for the reader.
        commands: commands that do missing runs.
    """

    name: str
    title: str
    columns: list[str]
    rows: list[list[Cell]]
    data: pd.DataFrame
    notes: list[str] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)

    @property
    def of_scores(self) -> bool:
        """Whether it shows scores, and not costs or sizes."""
        return self.name.startswith(OF_SCORES)


@dataclass(frozen=True)
class Row:
    """Runs that are repetitions of each other, on one task or on several.

    Attributes:
        label: name that is unique in the table.
        variant: method with its changed settings.
        runs: rows of the table from `lnbench.report.load.frame`.
    """

    label: str
    variant: str
    runs: pd.DataFrame

    @functools.cached_property
    def by_task(self) -> dict[str, pd.DataFrame]:
        """The runs of each task that has any."""
        return {str(task): found for task, found in self.runs.groupby("task")}


@dataclass(frozen=True)
class Column:
    """One column of a table, and the function that fills it.

    Attributes:
        heading: heading that is unique in the table.
        cell: function that makes the cell of a row.
        larger: whether larger values are better; None if the cells are not ranked.
    """

    heading: str
    cell: Callable[[Row], Cell]
    larger: bool | None = None


def cells_of(rows: Sequence[Row], columns: Sequence[Column]) -> list[list[Cell]]:
    """All cells by row, with ranks for the best and second best of a column. Cells with equal texts share a rank."""
    by_column = [_ranked([column.cell(row) for row in rows], column.larger) for column in columns]
    return [list(cells) for cells in zip(*by_column, strict=True)]


def rows_of(runs: pd.DataFrame) -> list[Row]:
    """The runs by variant and learning rates: references first, then single methods, then sums."""
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
    """The ranks of numbers by their texts; empty if there are not two different ones."""
    values = {_read(cell): cell.value for cell in reversed(cells) if cell.value is not None}
    ordered = sorted(values, key=lambda text: values[text], reverse=larger)
    return {text: place for place, text in enumerate(ordered[:2], start=1)} if len(values) > 1 else {}


def _read(cell: Cell) -> str:
    """The text of a cell without its deviation."""
    return cell.text.partition(" ")[0]


def mean_and_deviation(values: Sequence[float], digits: int = 2, scale: float = 1.0) -> Cell:
    """`mean ± standard deviation (n)`, with the sample deviation (ddof 1), which is left out for a single value."""
    import numpy as np

    scaled = scale * np.asarray(values, dtype=np.float64)
    scaled = scaled[np.isfinite(scaled)]
    if not len(scaled):
        return Cell(MISSING)
    mean = float(scaled.mean())
    spread = f" ± {scaled.std(ddof=1):.{digits}f}" if len(scaled) > 1 else ""
    return Cell(f"{mean:.{digits}f}{spread} ({len(scaled)})", mean)


def long_form(rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    """The numbers of a table as a frame, with all its columns even if there are no rows."""
    import pandas as pd

    return pd.DataFrame(list(rows), columns=list(columns))
