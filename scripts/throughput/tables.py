"""Formats the measurements as tables for a terminal."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich import box
from rich.table import Table

Row = Mapping[str, Any]
Column = Callable[[Row], str]


def end_to_end_table(rows: Sequence[Row], title: str) -> Table:
    """A table with one line for each method and framework."""
    columns: dict[str, Column] = {
        "samples/s": lambda row: f"{row['samples_per_second']['median']:,.0f}",
        **SPEED,
        "padding\n%": lambda row: f"{100 * row['padding']['median']:.0f}",
        "first\nstep s": lambda row: f"{row['first_step_seconds']['median']:.2f}",
    }
    return _table(rows, title, columns)


def step_table(rows: Sequence[Row], title: str) -> Table:
    """A table with one line for each method and model."""
    columns: dict[str, Column] = {
        "ms (quartiles)": lambda row: _milliseconds(row["seconds"]),
        **SPEED,
        "of full": lambda row: _median(row["of_full"]),
    }
    return _table(rows, title, columns)


def _table(rows: Sequence[Row], title: str, columns: Mapping[str, Column]) -> Table:
    if any(row["peak_bytes"] for row in rows):
        columns = {**columns, "GPU MiB": lambda row: f"{row['peak_bytes'] / 2**20:,.0f}"}
    table = Table("method", "by", title=title, box=box.SIMPLE, pad_edge=False, collapse_padding=True)
    for heading in columns:
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(row["method"], row["framework"], *(cell(row) for cell in columns.values()))
    return table


def _median(quartiles: Mapping[str, float] | None) -> str:
    return f"{quartiles['median']:.2f}" if quartiles else "-"


def _milliseconds(seconds: Mapping[str, float]) -> str:
    digits = 0 if seconds["median"] > 0.1 else 2
    low, median, high = (f"{1000 * seconds[name]:.{digits}f}" for name in ("low", "median", "high"))
    return f"{median} ({low}-{high})"


SPEED: dict[str, Column] = {
    "tokens/s": lambda row: f"{row['tokens_per_second']['median']:,.0f}",
    "matmul\n%": lambda row: f"{100 * row['matmul_share']:.0f}",
    "peak\n%": lambda row: f"{100 * row['peak_share']['median']:.0f}",
    "ratio": lambda row: _median(row["lnbench_ratio"]),
}
