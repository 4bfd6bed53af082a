"""The table of time, energy and memory, relative to full tuning on the same hardware."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from lnbench.core.words import number_of
from lnbench.records.commands import command_lines
from lnbench.records.record import WAITED
from lnbench.report.claims.missing import missing_cells
from lnbench.report.tables.table import MISSING, Cell, Column, Row, Table, cells_of, long_form, rows_of

if TYPE_CHECKING:
    import pandas as pd

    from lnbench.report.load import Loaded

REFERENCE = "full"
DATA = ["method", "task", "quantity", "mean", "n"]
QUANTITIES = [
    "train_seconds",
    "total_seconds",
    "train_samples_per_second",
    "test_samples_per_second",
    "peak_memory_bytes",
    "steps",
]
ENERGY, ENERGY_HEADING = "train_joules_per_1000_samples", "train J/1,000 samples"
WHAT = (
    "Means over runs; methods that ran on different tasks can be compared by ÷ full only. Training alone is timed, "
    "without evaluation, checkpoints and set-up; samples/s and ÷ full of a sample leave out its first steps too."
)
RELATIVE = (
    "÷ full: geometric mean over tasks of the time divided by that of full tuning on the same task and hardware. Of a "
    "whole training it depends on when training stopped; of a sample it does not."
)
SHARED = (
    f"In {{}} other programs had all cores for more than {WAITED:.0%} of the training time. Times of such runs are no "
    "measure of the methods."
)
WHOLE_CARD = "Energy is that of the whole GPU in training, with all else that ran there."


def efficiency_table(runs: pd.DataFrame, name: str, title: str, loaded: Loaded) -> Table:
    """The table of costs, one row for each method.

    Args:
        runs: runs of one model, one setting and one hardware.
        name: name of the table's files.
        title: text with the common properties of the runs.
        loaded: records of the runs.
    """
    runs = runs.assign(**{ENERGY: 1000 * runs["train_joules"].astype(float) / runs["train_samples"].astype(float)})
    full, rows = runs[runs["variant"] == REFERENCE], rows_of(runs)
    columns, quantities, notes = _columns(full), QUANTITIES, [WHAT, RELATIVE]
    if runs[ENERGY].notna().any():
        columns = [*columns, Column(ENERGY_HEADING, partial(_mean, quantity=ENERGY, digits=1), larger=False)]
        quantities, notes = [*quantities, ENERGY], [*notes, WHOLE_CARD]
    if waiting := int((runs["waited"] > WAITED).sum()):
        notes = [*notes, SHARED.format(f"{waiting} of {number_of(len(runs), 'run')}")]
    tasks, seeds = runs["task"].unique(), runs["seed"].unique()
    lacking = set(tasks) - set(full["task"])
    return Table(
        name=name,
        title=f"Costs: {title}",
        columns=[column.heading for column in columns],
        rows=cells_of(rows, columns),
        data=long_form([line for row in rows for line in _numbers(row, quantities)], DATA),
        notes=notes,
        commands=command_lines(
            missing_cells(REFERENCE, {}, {(task, int(min(seeds))) for task in lacking}, loaded, runs)
        ),
    )


def _columns(full: pd.DataFrame) -> list[Column]:
    return [
        Column("method", lambda row: Cell(row.label)),
        Column("train s", partial(_mean, quantity="train_seconds", digits=1), larger=False),
        Column("÷ full", partial(_relative, full=full, quantity="train_seconds", per_second=False)),
        Column("train samples/s", partial(_mean, quantity="train_samples_per_second", digits=1), larger=True),
        Column("time/sample ÷ full", partial(_relative, full=full, quantity="train_samples_per_second")),
        Column("test samples/s", partial(_mean, quantity="test_samples_per_second", digits=1), larger=True),
        Column("test time ÷ full", partial(_relative, full=full, quantity="test_samples_per_second")),
        Column("peak GiB", partial(_mean, quantity="peak_memory_bytes", digits=2, unit=2**30), larger=False),
    ]


def _mean(row: Row, quantity: str, digits: int, unit: float = 1.0) -> Cell:
    value = float(row.runs[quantity].mean()) / unit
    return Cell(MISSING) if math.isnan(value) else Cell(f"{value:,.{digits}f}", value)


def _relative(row: Row, full: pd.DataFrame, quantity: str, per_second: bool = True) -> Cell:
    import numpy as np

    own, reference = row.runs.groupby("task")[quantity].mean(), full.groupby("task")[quantity].mean()
    ratios = ((reference / own) if per_second else (own / reference)).dropna()
    ratios = ratios[np.isfinite(ratios) & (ratios > 0)]
    return Cell(f"{np.exp(np.log(ratios).mean()):.3f}") if len(ratios) else Cell(MISSING)


def _numbers(row: Row, quantities: Sequence[str]) -> Iterator[dict[str, object]]:
    for task, found in row.by_task.items():
        for quantity in quantities:
            mean, count = found[quantity].mean(), found[quantity].count()
            yield dict(zip(DATA, (row.label, task, quantity, mean, count), strict=True))
