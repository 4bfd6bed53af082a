"""Finds the runs that a comparison or a table lacks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import count
from typing import TYPE_CHECKING, Any

from lnbench.records.commands import MissingRuns, missing_runs
from lnbench.report.claims.nested import LEAST_SEEDS
from lnbench.report.claims.pairs import runs_of

if TYPE_CHECKING:
    import pandas as pd

    from lnbench.report.claims.claims import Side
    from lnbench.report.load import Loaded

PLACE = ["model", "setting"]


def missing_for(sides: tuple[Side, Side], loaded: Loaded, runs: pd.DataFrame) -> tuple[MissingRuns, ...]:
    """The runs that make two sides comparable, in the model and setting that have the most of their runs so far.

    They cover every task that either side has, or every task of that model and setting if neither has any. Each task
    gets the seeds of both sides, and at least three seeds.
    """
    import pandas as pd

    found = [runs_of(side, runs) for side in sides]
    begun = pd.concat(found) if any(map(len, found)) else runs
    model, setting = begun[PLACE].value_counts().index.tolist()[0]
    here = [side_runs[_at(side_runs, model, setting)] for side_runs in found]
    begun = begun[_at(begun, model, setting)]
    seeds = _enough(set(begun["seed"].tolist()))
    wanted = {(task, seed) for task in sorted(begun["task"].unique()) for seed in seeds}
    missing: list[MissingRuns] = []
    for side, done in zip(sides, here, strict=True):
        depth = int(runs.loc[runs["model"] == model, "num_layers"].max()) or None
        changed = side.resolved(depth)
        if changed is not None:
            cells = wanted - set(zip(done["task"], done["seed"], strict=True))
            missing += missing_cells(side.method, changed, cells, loaded, runs[_at(runs, model, setting)])
    return tuple(missing)


def missing_cells(
    method: str, changed: Mapping[str, Any], cells: Iterable[tuple[str, int]], loaded: Loaded, near: pd.DataFrame
) -> list[MissingRuns]:
    """The runs of a method on some tasks with some seeds.

    Args:
        method: parts joined by `+`.
        changed: settings of the method that differ from the shipped ones, by dotted name.
        cells: task and seed of each run.
        loaded: all records.
        near: rows of the runs from which the tasks' settings, and all other settings, are taken.
    """
    seeds_of: dict[str, list[int]] = defaultdict(list)
    for task, seed in sorted(cells):
        seeds_of[task].append(seed)
    if not seeds_of:
        return []
    tasks_of: dict[tuple[int, ...], list[str]] = defaultdict(list)
    for task, seed_list in seeds_of.items():
        tasks_of[tuple(seed_list)].append(task)
    by_id = {record.id: record for record in loaded.records}
    shown = near.drop_duplicates("task").set_index("task")["id"]
    return [
        missing
        for seeds, tasks in tasks_of.items()
        for missing in missing_runs(
            method, changed, {task: by_id[shown[task]] for task in tasks}, seeds, loaded.runs_dir
        )
    ]


def _enough(seeds: set[int]) -> list[int]:
    """The seeds, filled up to three with the smallest other ones."""
    unused = (seed for seed in count() if seed not in seeds)
    return sorted([*seeds, *(next(unused) for _ in range(LEAST_SEEDS - len(seeds)))])


def _at(runs: pd.DataFrame, model: str, setting: str) -> pd.Series[bool]:
    return (runs["model"] == model) & (runs["setting"] == setting)
