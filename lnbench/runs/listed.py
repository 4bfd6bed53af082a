"""The runs of a folder as rows. Rows of finished runs are remembered, so the next list need not read their records."""

import functools
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from lnbench.core.config_folders import config_dirs
from lnbench.core.registry import allowed_modules
from lnbench.records.listing import FoundRun, look_at, run_folders
from lnbench.records.remembered import Memory, stamp_of
from lnbench.runs.row import RunRow, row_of

FOLDER = "lists"
"""Folder of the cache with the rows."""
NAMES = [field.name for field in fields(RunRow) if field.name != "folder"]


@dataclass(frozen=True)
class Listed:
    """One run of a list."""

    row: RunRow
    folder: Path
    runs_dir: Path

    @functools.cached_property
    def run(self) -> FoundRun:
        """The run, whose files are read if the list did not need them."""
        return look_at(self.folder, self.runs_dir)


def list_runs(runs_dir: Path) -> list[Listed]:
    """Every run below a folder, sorted by task, model, method and id. Unreadable files are reported, never raised."""
    memory = Memory(runs_dir, FOLDER, [NAMES, allowed_modules(), *_usual_settings()])
    runs: list[Listed] = []
    for folder in run_folders(runs_dir):
        stamp = stamp_of(folder)
        values = memory.recall(folder, stamp)
        row = _from_values(values, folder) if values else row_of(look_at(folder, runs_dir))
        if row.state == "finished":
            memory.keep(folder, stamp, values or _values(row))
        runs.append(Listed(row, folder, runs_dir))
    memory.save()
    return runs


def _usual_settings() -> list[tuple[str, int, int]]:
    """Name, time and size of each file with the usual settings of a method, by which runs are named."""
    files = [file for folder in config_dirs() for file in sorted(folder.glob("method/*.yaml"))]
    return [(str(file), file.stat().st_mtime_ns, file.stat().st_size) for file in files]


def _values(row: RunRow) -> list[Any]:
    return [getattr(row, name) for name in NAMES]


def _from_values(values: list[Any], folder: Path) -> RunRow:
    named: dict[str, Any] = dict(zip(NAMES, values, strict=True))
    return RunRow(**{**named, "no_better": tuple(named["no_better"])}, folder=str(folder))
