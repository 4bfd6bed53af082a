"""Checks that runs are complete: every method has the same tasks and search budget, and seeds that can be compared."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from lnbench.records.commands import command_lines
from lnbench.records.record import Record
from lnbench.records.variant import all_changes
from lnbench.report.claims.missing import PLACE, missing_cells
from lnbench.report.claims.nested import LEAST_SEEDS
from lnbench.report.load import Loaded, frame

if TYPE_CHECKING:
    import pandas as pd


def gaps(loaded: Loaded, own: Collection[str]) -> list[str]:
    """What some runs lack for a comparison with each other and with the runs beside them, one line for each.

    Args:
        loaded: all runs, the published ones included.
        own: ids of the runs that are to be complete. They are compared with the runs of the same model and settings.
    """
    runs = frame(loaded.records)
    groups = [group for _, group in runs.groupby(PLACE) if group["id"].isin(own).any()]
    missing = [line for group in groups for line in _missing(group, own, loaded)]
    return [*_budgets(runs[runs["id"].isin(own)], loaded), *_trials(loaded, own), *missing]


def _missing(group: pd.DataFrame, own: Collection[str], loaded: Loaded) -> Iterator[str]:
    """What the methods of a group lack, with the commands for it."""
    by_id = {record.id: record for record in loaded.records}
    lacking = []
    for variant, found in group.groupby("variant"):
        mine = found[found["id"].isin(own)]
        cells = [] if mine.empty else _lacking(found, group, group[~group["id"].isin(own)])
        if not cells:
            continue
        record = by_id[mine["id"].iloc[0]]
        changed = all_changes(record.config.get("method") or {})
        lacking += missing_cells(record.method, changed, cells, loaded, group)
        told = ", ".join(f"{task} seed {seed}" for task, seed in cells)
        yield f"{variant} lacks {told}"
    yield from (f"  {line}" for line in command_lines(lacking))


def _lacking(runs: pd.DataFrame, group: pd.DataFrame, published: pd.DataFrame) -> list[tuple[str, int]]:
    """The tasks and seeds that a method needs and does not have.

    It needs the first seeds of each task, those that all published methods have, and all below its own last one. It may
    have more or fewer than that, because `lnbench.decide` adds seeds only where they are needed.

    Args:
        runs: runs of the method.
        group: runs of all methods with the same model and settings.
        published: those of the group that were there before.
    """
    cells = []
    for task, all_of in group.groupby("task")["seed"]:
        has = set(runs.loc[runs["task"] == task, "seed"])
        of_others = [set(one["seed"]) for _, one in published[published["task"] == task].groupby("variant")]
        seeds = sorted(set(all_of))
        needed = {*seeds[:LEAST_SEEDS], *set.intersection(*of_others or [set()])}
        needed |= {seed for seed in seeds if has and seed < max(has)}
        cells += [(str(task), seed) for seed in sorted(needed - has)]
    return cells


def _budgets(runs: pd.DataFrame, loaded: Loaded) -> Iterator[str]:
    """How many values of a setting each method tried, where that is not the same for all methods on a model."""
    searches = {record.id: _searched(record) for record in loaded.records}
    for model, found in runs.groupby("model"):
        tried = {
            str(variant): "; ".join(sorted({searches[one] for one in own["id"]} - {""}))
            or f"{own['lr'].nunique()} of trainer.lr"
            for variant, own in found.groupby("variant")
        }
        if len(set(tried.values())) > 1:
            told = ", ".join(f"{variant} tried {values}" for variant, values in tried.items())
            yield f"the methods on {model} have not the same search budget: {told}"


def _searched(record: Record) -> str:
    return f"{len(record.search.trials)} of {record.search.parameter}" if record.search else ""


def _trials(loaded: Loaded, own: Collection[str]) -> Iterator[str]:
    """Trials of searches whose own records are not there."""
    there = {record.id for record in loaded.trials}
    for record in loaded.records:
        for trial in record.search.trials if record.search and record.id in own else []:
            if trial.score is not None and trial.id not in there:
                yield f"run {record.id} lacks its trial {trial.id}; the run's command with rerun=true does it again"
