"""Tables of test scores: methods by tasks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from lnbench.report.commands import MissingRuns, command_lines
from lnbench.report.missing import missing_cells
from lnbench.report.paper import Figures
from lnbench.report.table import Cell, Column, Row, Table, cells_of, long_form, mean_and_deviation, rows_of
from lnbench.report.variant import all_changes

if TYPE_CHECKING:
    import pandas as pd

    from lnbench.report.load import Loaded

ABLATED = re.compile(r"(?:^|\+)ln\[")
"""In the name of a variant with changed settings of LN-tuning."""
DATA = ["method", "task", "metric", "mean", "std", "n"]
WHAT = "Test scores, mean ± standard deviation over seeds (number of seeds); in percent, losses as they are."
AVERAGE = "The average is over tasks whose score is to be large, and only for methods that have run on all of them."
MARKS = "Bold: best of the column; underlined or in italics: second best."


def main_table(runs: pd.DataFrame, name: str, title: str, loaded: Loaded, figures: Figures) -> Table:
    """All methods, without ablations of LN-tuning.

    Args:
        runs: of one model and one setting.
        name: of the table's files.
        title: what the runs have in common.
        loaded: where they come from.
        figures: of papers.
    """
    return _table(runs[~_ablated(runs)], name, f"Test scores: {title}", loaded, figures)


def ablation_table(runs: pd.DataFrame, name: str, title: str, loaded: Loaded, figures: Figures) -> Table | None:
    """LN-tuning with some of its terms, norms or layers, beside all of it; None without such runs."""
    methods = set(runs.loc[_ablated(runs), "method"])
    beside = _ablated(runs) | (runs["method"].isin(methods) & (runs["variant"] == runs["method"]))
    return _table(runs[beside], name, f"Ablations of LN-tuning: {title}", loaded, figures) if methods else None


def is_percent(runs: pd.DataFrame) -> bool:
    """Whether the scores of a task are shares of 1, and so are shown in percent."""
    return bool((runs["mode"] == "max").all() and (runs["score"].abs().dropna() <= 1).all())


def _ablated(runs: pd.DataFrame) -> pd.Series[bool]:
    return runs["variant"].str.contains(ABLATED)


def _table(runs: pd.DataFrame, name: str, title: str, loaded: Loaded, figures: Figures) -> Table:
    rows, tasks = rows_of(runs), {str(task): found for task, found in runs.groupby("task")}
    columns = [
        Column("method", lambda row: Cell(row.label)),
        Column("trained %", lambda row: Cell(f"{row.runs['trained_percent'].mean():.3f}")),
        *(column for task, found in tasks.items() for column in _task_columns(task, found, figures)),
    ]
    summed = {task: found for task, found in tasks.items() if is_percent(found)}
    if len(summed) > 1:
        columns.append(Column("average", partial(_average, tasks=list(summed)), larger=True))
    return Table(
        name=name,
        title=title,
        columns=[column.heading for column in columns],
        rows=cells_of(rows, columns),
        data=long_form([line for row in rows for line in _numbers(row, tasks)], DATA),
        notes=_notes(runs, figures, len(summed) > 1),
        commands=command_lines(missing for row in rows for missing in _missing(row, tasks, loaded, runs)),
    )


def _task_columns(task: str, found: pd.DataFrame, figures: Figures) -> Iterator[Column]:
    larger = bool((found["mode"] == "max").all())
    yield Column(f"{task} {found['metric'].iloc[0]}", partial(_score, task=task, percent=is_percent(found)), larger)
    find = partial(figures.find, str(found["model"].iloc[0]), quantity="score", task=task)
    if any(find(method=str(method)) for method in found["method"].unique()):
        yield Column(f"{task} (paper)", lambda row: Cell(find(method=row.variant)))


def _score(row: Row, task: str, percent: bool) -> Cell:
    scores = row.runs.loc[row.runs["task"] == task, "score"].tolist()
    return mean_and_deviation(scores, scale=100) if percent else mean_and_deviation(scores, digits=4)


def _average(row: Row, tasks: Sequence[str]) -> Cell:
    """Over tasks for each seed, then over the seeds that have all tasks."""
    scores = row.runs.pivot_table(index="seed", columns="task", values="score").reindex(columns=list(tasks))
    there = int(scores.notna().any().sum())
    if there < len(tasks):
        return Cell(f"{there} of {len(tasks)} tasks")
    complete = scores.dropna()
    if complete.empty:
        return mean_and_deviation([float(scores.mean().mean())], scale=100)
    return mean_and_deviation(complete.mean(axis=1).tolist(), scale=100)


def _numbers(row: Row, tasks: dict[str, pd.DataFrame]) -> Iterator[dict[str, object]]:
    for task in tasks:
        scores = row.runs.loc[row.runs["task"] == task, "score"].dropna()
        if len(scores):
            metric = tasks[task]["metric"].iloc[0]
            spread = scores.std(ddof=1)
            yield dict(zip(DATA, (row.label, task, metric, scores.mean(), spread, len(scores)), strict=True))


def _missing(row: Row, tasks: dict[str, pd.DataFrame], loaded: Loaded, runs: pd.DataFrame) -> list[MissingRuns]:
    """The runs of the row's empty cells, with the seeds of its other cells and its learning rates."""
    empty = set(tasks) - set(row.runs.dropna(subset=["score"])["task"])
    record = next(record for record in loaded.records if record.id == row.runs["id"].iloc[0])
    cells = {(task, int(seed)) for task in empty for seed in row.runs["seed"].unique()}
    return missing_cells(record.method, all_changes(record.config.get("method") or {}), cells, loaded, runs)


def _notes(runs: pd.DataFrame, figures: Figures, averaged: bool) -> list[str]:
    sources = figures.sources(str(runs["model"].iloc[0]), "score") if len(runs) else ""
    several = len(set(runs["lr"])) > 1 and (runs.groupby("variant")["lr"].nunique() > 1).any()
    notes = {
        WHAT: True,
        AVERAGE: averaged,
        MARKS: True,
        "Runs of one method at several learning rates are kept apart.": several,
        f"Paper: {sources}.": bool(sources),
    }
    return [note for note, holds in notes.items() if holds]
