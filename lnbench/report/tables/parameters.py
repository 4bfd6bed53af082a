"""The table of trained parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lnbench.report.tables.paper import Figures
from lnbench.report.tables.table import Cell, Column, Row, Table, cells_of, rows_of

if TYPE_CHECKING:
    import pandas as pd

DATA = ["variant", "trained", "trained_percent", "inserted", "head"]
WHAT = (
    "Trained: all that the method trains, existing or inserted, without the task's head; %: of the backbone. "
    "Inserted: what is added to the model."
)


def parameter_table(runs: pd.DataFrame, name: str, title: str, figures: Figures) -> Table:
    """The table of sizes, one row for each method.

    Args:
        runs: runs of one model.
        name: name of the table's files.
        title: text with the common properties of the runs.
        figures: figures of papers.
    """
    model = str(runs["model"].iloc[0])
    once = runs.assign(lr="").drop_duplicates(["variant", "head"])
    columns = [
        Column("method", lambda row: Cell(row.label)),
        Column("trained", lambda row: _whole(row, "trained")),
        Column("trained %", lambda row: Cell(f"{row.runs['trained_percent'].mean():.4f}")),
        Column("inserted", lambda row: _whole(row, "inserted")),
        Column("head", lambda row: _whole(row, "head")),
    ]
    notes = [WHAT]
    if sources := figures.sources(model, "trained_percent"):
        stated = Column("paper %", lambda row: Cell(figures.find(model, row.variant, "trained_percent")))
        columns.insert(3, stated)
        notes.append(f"Paper: {sources}.")
    rows = rows_of(once)
    return Table(
        name=name,
        title=f"Parameters: {title}",
        columns=[column.heading for column in columns],
        rows=cells_of(rows, columns),
        data=once[DATA].rename(columns={"variant": "method"}).sort_values(["method", "head"]),
        notes=notes,
    )


def _whole(row: Row, column: str) -> Cell:
    """A number, or the range of the numbers of several tasks."""
    low, high = int(row.runs[column].min()), int(row.runs[column].max())
    return Cell(f"{low:,}" if low == high else f"{low:,} to {high:,}")
