"""Notes for the user about a task's data, before the run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from lnbench.core.words import number_of
from lnbench.tasks.data.split import SWAPPED
from lnbench.tasks.parts.labels import look_alikes, unlearned

if TYPE_CHECKING:
    import pandas as pd

    from lnbench.tasks.base import Task
    from lnbench.tasks.tokens.examples import Examples


def of_splits(task: Task, frames: Mapping[str, pd.DataFrame], examples: Mapping[str, Examples]) -> dict[str, list[str]]:
    """Notes by role: the task's warnings, for train also notes on its classes, and for test also missing metrics."""
    notes = {role: task.warnings(frame, examples[role]) for role, frame in frames.items()}
    notes["train"] += _of_classes(task, frames, examples) if task.classes() else []
    notes["test"] += [f"{metric} cannot be computed here: {why}" for metric, why in task.missing().items()]
    return notes


def _of_classes(task: Task, frames: Mapping[str, pd.DataFrame], examples: Mapping[str, Examples]) -> list[str]:
    """Classes without training rows, and classes whose names look alike."""
    counts = {role: task.balance(frame, examples[role]) for role, frame in frames.items()}
    return [*unlearned(counts), *look_alikes(task.classes())]


def of_leaks(rows: int) -> list[str]:
    """A note on the number of training rows that are left out. None if there are no such rows."""
    return [f"left out: {number_of(rows, 'row')} whose text the test split has too"] * bool(rows)


def of_overlap(task: Task, given: Mapping[str, pd.DataFrame], role: str, overlap: Mapping[str, int]) -> list[str]:
    """Notes on what a role shares with the training split. Empty for the training split itself.

    Args:
        task: the task.
        given: the checked rows of the source's own splits.
        role: `train`, `validation` or `test`.
        overlap: the attribute of `TaskData`.
    """
    if role == "train":
        return []
    notes = []
    dropped = role == "test" and task.splits.drop_overlap
    if (rows := overlap.get(f"train/{role}", 0)) and not dropped:
        same = "; it is the same as train, row for row" if given["train"].equals(given[role]) else ""
        notes.append(f"train has the input of {rows:,} of {number_of(len(given[role]), 'row')}{same}")
    columns = {roles.partition(" ")[2]: rows for roles, rows in overlap.items() if roles.startswith(f"train/{role} ")}
    grouped = task.splits.group_by if role in given else ()
    groups = {column: columns.pop(column) for column in grouped if column in columns}
    remedy = "" if role in given else "; task.splits.group_by=COLUMN keeps rows of one text together"
    if any(columns.values()):
        notes.append(f"shares single texts with train: {_in_rows(columns)}{remedy}")
    if any(groups.values()):
        notes.append(
            f"shares groups with train: {_in_rows(groups)}; task.splits.group_by acts on what is cut from train alone"
        )
    notes += [
        f"has no column {column!r}, so that groups that it shares with train are not known"
        for column in grouped
        if column not in groups
    ]
    if rows := overlap.get(f"train/{role}{SWAPPED}", 0):
        notes.append(f"train has {number_of(rows, 'pair')} of it with the texts swapped")
    return notes


def _in_rows(columns: Mapping[str, int]) -> str:
    return ", ".join(f"{column} in {number_of(rows, 'row')}" for column, rows in columns.items() if rows)
