"""What a person should know of a task's data before the run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from lnbench.tasks.data.split import SWAPPED
from lnbench.tasks.parts.labels import look_alikes, unlearned

if TYPE_CHECKING:
    import pandas as pd

    from lnbench.tasks.base import Task
    from lnbench.tasks.tokens.examples import Examples


def of_splits(task: Task, frames: Mapping[str, pd.DataFrame], examples: Mapping[str, Examples]) -> dict[str, list[str]]:
    """By role, what the task says of its rows; of train also its classes, of test also the metrics that are missing."""
    notes = {role: task.warnings(frame, examples[role]) for role, frame in frames.items()}
    notes["train"] += _of_classes(task, frames, examples) if task.classes() else []
    notes["test"] += [f"{metric} cannot be computed here: {why}" for metric, why in task.missing().items()]
    return notes


def _of_classes(task: Task, frames: Mapping[str, pd.DataFrame], examples: Mapping[str, Examples]) -> list[str]:
    """Classes without training rows, and classes whose names look alike."""
    counts = {role: task.balance(frame, examples[role]) for role, frame in frames.items()}
    return [*unlearned(counts), *look_alikes(task.classes())]


def of_leaks(rows: int) -> list[str]:
    """That so many training rows are left out."""
    return [f"{rows:,} rows are left out, because the test split has their text too"] * bool(rows)


def of_overlap(task: Task, given: Mapping[str, pd.DataFrame], role: str, overlap: Mapping[str, int]) -> list[str]:
    """What a role shares with the training split, which itself shares nothing.

    Args:
        task: whose data it is.
        given: the checked rows of the source's own splits.
        role: whichever.
        overlap: as `TaskData` has it.
    """
    if role == "train":
        return []
    notes = []
    dropped = role == "test" and task.splits.drop_overlap
    if (rows := overlap.get(f"train/{role}", 0)) and not dropped:
        same = "; it is the same as train, row for row" if given["train"].equals(given[role]) else ""
        notes.append(f"{rows:,} of {len(given[role]):,} rows have an input that train has too{same}")
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
        notes.append(f"{rows:,} rows are pairs that train has with their texts swapped")
    return notes


def _in_rows(columns: Mapping[str, int]) -> str:
    return ", ".join(f"{column} in {rows:,} rows" for column, rows in columns.items() if rows)
