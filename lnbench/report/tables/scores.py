"""Tables of test scores: methods by tasks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from lnbench.records.baseline import footnote, marked
from lnbench.records.commands import MissingRuns, command_lines
from lnbench.records.variant import all_changes, variant_of
from lnbench.report.claims.missing import missing_cells
from lnbench.report.claims.nested import LEAST_SEEDS
from lnbench.report.claims.ranks import Ranks, ranks_of
from lnbench.report.tables.paper import Figures
from lnbench.report.tables.table import (
    MARKS,
    MISSING,
    Cell,
    Column,
    Row,
    Table,
    cells_of,
    long_form,
    mean_and_deviation,
    rows_of,
)
from lnbench.report.tables.units import averaged, heading_of, metric_in
from lnbench.tasks.scores.metric import FORGETTING, Metric

if TYPE_CHECKING:
    import pandas as pd

    from lnbench.report.load import Loaded

ABLATED = re.compile(r"(?:^|\+)ln\[")
"""Pattern in the names of variants that change settings of LN-tuning."""
DATA = ["method", "task", "metric", "mean", "std", "n", "no_better"]
WHAT = "Test scores, mean ± standard deviation over seeds (number of seeds)."
AVERAGE = "An average is over all tasks of one unit and scale, and only for methods that have run on all of them."
FORGOTTEN = (
    "Forgetting: by how much tuning raised the loss on a general text, in nats a token, averaged over the tasks. Less "
    "is better; below 0 the loss fell."
)
RANKS = (
    "Rank 2 to 4: one method is surely better, and all but four are surely worse. The paired differences on these "
    "tasks decide no more. With a probability of 95%, all ranks of a column are right. Only methods that have run on "
    "all tasks have a rank."
)


def main_table(runs: pd.DataFrame, name: str, title: str, loaded: Loaded, figures: Figures) -> Table:
    """The table of all methods, without ablations of LN-tuning.

    Args:
        runs: runs of one model and one setting.
        name: name of the table's files.
        title: text with the common properties of the runs.
        loaded: records of the runs.
        figures: figures of papers.
    """
    return _table(runs[~is_ablated(runs)], name, f"Test scores: {title}", loaded, figures)


def ablation_table(runs: pd.DataFrame, name: str, title: str, loaded: Loaded, figures: Figures) -> Table | None:
    """The table of LN-tuning with some of its terms, norms or layers, beside all of it; None without such runs."""
    methods = set(runs.loc[is_ablated(runs), "method"])
    beside = is_ablated(runs) | (runs["method"].isin(methods) & (runs["variant"] == runs["method"]))
    return _table(runs[beside], name, f"Ablations of LN-tuning: {title}", loaded, figures) if methods else None


def ranks_by_unit(rows: Sequence[Row], runs: pd.DataFrame) -> Iterator[tuple[str, dict[str, Ranks]]]:
    """A heading, and the ranks by the labels of rows, for each unit in which two rows can be compared.

    Args:
        rows: methods; those that have not run on all tasks of a unit have no rank in it.
        runs: runs of all rows.
    """
    units = list(runs.groupby("unit", sort=False))
    for _, found in units:
        tasks, larger = set(found["task"]), _larger(found)
        own = {row.label: row.runs[row.runs["task"].isin(tasks)].dropna(subset=["score"]) for row in rows}
        complete = {label: of_row for label, of_row in own.items() if set(of_row["task"]) == tasks}
        ranks = ranks_of(list(complete.values()), larger)
        if ranks:
            yield f"rank in {heading_of(found)}" if len(units) > 1 else "rank", dict(zip(complete, ranks, strict=True))


def is_ablated(runs: pd.DataFrame) -> pd.Series[bool]:
    """Whether each run changes settings of LN-tuning."""
    return runs["variant"].str.contains(ABLATED)


def _table(runs: pd.DataFrame, name: str, title: str, loaded: Loaded, figures: Figures) -> Table:
    rows, tasks = rows_of(runs), {str(task): found for task, found in runs.groupby("task")}
    columns = [
        Column("method", lambda row: Cell(row.label)),
        Column("trained %", lambda row: Cell(f"{row.runs['trained_percent'].mean():.3f}")),
        *(column for task, found in tasks.items() for column in _task_columns(task, found, figures)),
    ]
    averages = averaged(runs)
    columns += [
        Column(name, partial(_average, tasks=sorted(found["task"].unique()), metric=metric_in(found)), _larger(found))
        for name, found in averages.items()
    ]
    columns += _forgetting(runs)
    ranks = dict(ranks_by_unit(rows, runs))
    columns += [Column(name, partial(_rank, ranks=found)) for name, found in ranks.items()]
    return Table(
        name=name,
        title=title,
        columns=[column.heading for column in columns],
        rows=[*_baseline(columns, tasks), *cells_of(rows, columns)],
        data=long_form([line for row in rows for line in _numbers(row, tasks)], DATA),
        notes=_notes(runs, figures, averages, bool(ranks)),
        commands=command_lines(missing for row in rows for missing in _missing(row, tasks, loaded, runs)),
    )


def _task_columns(task: str, found: pd.DataFrame, figures: Figures) -> Iterator[Column]:
    metric = metric_in(found)
    yield Column(f"{task} {metric.heading}", partial(_score, task=task, metric=metric), _larger(found))
    find = partial(figures.find, str(found["model"].iloc[0]), quantity="score", task=task)
    if any(find(method=str(method)) for method in found["method"].unique()):
        yield Column(f"{task} (paper)", lambda row: Cell(find(method=row.variant)))


def _larger(runs: pd.DataFrame) -> bool:
    return metric_in(runs).mode == "max"


def _score(row: Row, task: str, metric: Metric) -> Cell:
    if task not in row.by_task:
        return Cell(MISSING)
    found = row.by_task[task]
    cell = mean_and_deviation(found["score"].tolist(), metric.digits, metric.factor)
    return replace(cell, text=marked(cell.text, bool(found["no_better"].any())))


def _forgetting(runs: pd.DataFrame) -> Iterator[Column]:
    """The column of forgetting, if any run has measured it."""
    measured = runs.dropna(subset=["forgetting"])
    if len(measured):
        tasks = sorted(measured["task"].unique())
        cell = partial(_average, tasks=tasks, metric=FORGETTING, values="forgetting")
        yield Column(FORGETTING.heading, cell, larger=False)


def _average(row: Row, tasks: Sequence[str], metric: Metric, values: str = "score") -> Cell:
    """The mean over tasks for each seed, then over the seeds that have all tasks."""
    scores = row.runs.pivot_table(index="seed", columns="task", values=values).reindex(columns=list(tasks))
    there = int(scores.notna().any().sum())
    if there < len(tasks):
        return Cell(f"{there} of {len(tasks)} tasks")
    complete = scores.dropna()
    means = [float(scores.mean().mean())] if complete.empty else complete.mean(axis=1).tolist()
    return mean_and_deviation(means, metric.digits, metric.factor)


def _rank(row: Row, ranks: Mapping[str, Ranks]) -> Cell:
    found = ranks.get(row.label)
    return Cell(str(found), found.best) if found else Cell(MISSING)


def _baseline(columns: Sequence[Column], tasks: Mapping[str, pd.DataFrame]) -> list[list[Cell]]:
    """The row of the input-free baselines; none if no run knows them."""
    texts: dict[str, str] = {}
    names: set[str] = set()
    for task, runs in tasks.items():
        known, metric = runs.dropna(subset=["baseline_score"]), metric_in(runs)
        if len(known):
            names.update(known["baseline"])
            texts[f"{task} {metric.heading}"] = f"{metric.factor * known['baseline_score'].iloc[0]:.{metric.digits}f}"
    first = " or ".join(sorted(names))
    return [[Cell(first), *(Cell(texts.get(column.heading, MISSING)) for column in columns[1:])]] if texts else []


def _numbers(row: Row, tasks: dict[str, pd.DataFrame]) -> Iterator[dict[str, object]]:
    for task in tasks:
        found = row.by_task[task].dropna(subset=["score"]) if task in row.by_task else row.runs.iloc[:0]
        scores = found["score"]
        if len(found):
            metric, spread, low = tasks[task]["metric"].iloc[0], scores.std(ddof=1), int(found["no_better"].sum())
            yield dict(zip(DATA, (row.label, task, metric, scores.mean(), spread, len(scores), low), strict=True))
        forgotten = found["forgetting"].dropna()
        if len(forgotten):
            spread, low = forgotten.std(ddof=1), 0
            line = (row.label, task, FORGETTING.title, forgotten.mean(), spread, len(forgotten), low)
            yield dict(zip(DATA, line, strict=True))


def _missing(row: Row, tasks: dict[str, pd.DataFrame], loaded: Loaded, runs: pd.DataFrame) -> list[MissingRuns]:
    """The runs that would fill the row's empty cells, with the seeds and learning rates of its other runs.

    A cell that is not empty lacks those of the first three seeds that other methods have on the task. Runs of code that
    is no more have no command.
    """
    done = {task: set(found.dropna(subset=["score"])["seed"]) for task, found in row.by_task.items()}
    seeds = {int(seed) for seed in row.runs["seed"].unique()}
    cells = {
        (task, int(seed))
        for task, found in tasks.items()
        for seed in (sorted(set(found["seed"]))[:LEAST_SEEDS] if done.get(task) else seeds)
        if seed not in done.get(task, ())
    }
    if not cells:
        return []
    record = next(record for record in loaded.records if record.id == row.runs["id"].iloc[0])
    if row.variant != variant_of(record.method, record.config.get("method")):
        return []
    return missing_cells(record.method, all_changes(record.config.get("method") or {}), cells, loaded, runs)


def _notes(runs: pd.DataFrame, figures: Figures, averages: Mapping[str, pd.DataFrame], ranked: bool) -> list[str]:
    poor = runs.loc[runs["no_better"].astype(bool), "baseline"]
    sources = figures.sources(str(runs["model"].iloc[0]), "score") if len(runs) else ""
    several = len(set(runs["lr"])) > 1 and (runs.groupby("variant")["lr"].nunique() > 1).any()
    notes = {
        WHAT: True,
        f"{AVERAGE}{_left_out(runs, averages)}": bool(averages),
        MARKS: True,
        FORGOTTEN: bool(runs["forgetting"].notna().any()),
        RANKS: ranked,
        footnote(poor): len(poor) > 0,
        "Runs of one method at several learning rates are kept apart.": several,
        f"Paper: {sources}.": bool(sources),
    }
    return [note for note, holds in notes.items() if holds]


def _left_out(runs: pd.DataFrame, averages: Mapping[str, pd.DataFrame]) -> str:
    """A note on the tasks that are in no average."""
    among = {task for found in averages.values() for task in found["task"]}
    alone = sorted(set(runs["task"]) - among)
    return f" In no average: {', '.join(alone)}." if alone else ""
