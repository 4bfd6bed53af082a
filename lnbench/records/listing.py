"""Lists all runs of a folder, with their states."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from lnbench.core.schema import ConfigError
from lnbench.core.sealed import NewerError, SealError, read_json
from lnbench.records.failure import Failure, read_failure
from lnbench.records.files import CONFIG, FAILURE, RECORD
from lnbench.records.lock import is_held
from lnbench.records.packed import LEVELS, SUFFIX, packed_beside, packed_file, packed_files, packed_folders, read_packed
from lnbench.records.record import Record, read_record
from lnbench.records.remembered import Memory, stamp_of

FOLDER = "intact"
"""Folder of the cache that tells which records are intact."""

State = Literal["finished", "failed", "running", "interrupted", "newer", "damaged"]


@dataclass(frozen=True)
class FoundRun:
    """The folder of one run.

    Attributes:
        folder: folder of the run, or its path in a packed file; its name is the run's id.
        state: state of the run. `interrupted`: it was begun, no process is doing it now, and it can continue.
            `newer`: a newer lnbench did it, and only that version can read it. `damaged`: its record cannot be trusted.
        record: record of a finished run.
        failure: failure record of a failed run.
        config: configuration, as far as it can be read.
        problem: damage of a damaged run, or version that a newer run needs.
    """

    folder: Path
    state: State
    record: Record | None = None
    failure: Failure | None = None
    config: dict[str, Any] = field(default_factory=dict)
    problem: str = ""

    @property
    def id(self) -> str:
        """Identity of the run."""
        return self.folder.name

    @property
    def reason(self) -> str:
        """Why the run failed, or what is wrong with its files; empty otherwise."""
        return f"{self.failure.cause}: {self.failure.message}" if self.failure else self.problem


def holds_runs(path: Path) -> bool:
    """Whether a path is a folder, in which runs may be, or a packed file of runs."""
    return path.is_dir() or (path.name.endswith(SUFFIX) and path.is_file())


def check_place(path: Path) -> None:
    """Checks that a folder, if it holds no runs, is not itself a run, or a part of a folder of runs.

    Raises:
        ConfigError: it is, and the error names the folder of runs.
    """
    if not path.is_dir() or packed_files(path) or any(map(_is_run, path.glob("/".join("*" * LEVELS)))):
        return
    for below in range(LEVELS):
        folders = path.glob("/".join("*" * below)) if below else [path]
        if any((folder / name).is_file() for folder in folders for name in (RECORD, FAILURE)):
            above = path.absolute().parents[LEVELS - below - 1]
            what = "a part of a folder of runs" if below else "the folder of one run"
            raise ConfigError(f"{path}: is {what}; give the folder of runs, {above}")


def find_runs(runs_dir: Path, remember: bool = False) -> Iterator[FoundRun]:
    """Every run below a folder, those in its packed files included, sorted by task, model, method and id.

    A run that is in several of these places is given for each, first for its own folder, and then by the names of the
    packed files. A packed file may stand in the place of the folder. Unreadable files are reported, never raised.

    Args:
        runs_dir: folder of the runs.
        remember: whether to remember which records are intact, so that the next time they need not be checked.
    """
    memory = Memory(runs_dir, FOLDER) if remember else None
    for folder in run_folders(runs_dir):
        if memory is None:
            yield look_at(folder, runs_dir)
            continue
        stamp = stamp_of(folder)
        run = look_at(folder, runs_dir, intact=bool(memory.recall(folder, stamp)))
        if run.record:
            memory.keep(folder, stamp, True)
        yield run
    if memory:
        memory.save()


def first_of_each(runs: Iterable[FoundRun]) -> dict[str, FoundRun]:
    """By id, the run that counts where several copies of it are given, as by `find_runs`: the first."""
    found: dict[str, FoundRun] = {}
    for run in runs:
        found.setdefault(run.id, run)
    return found


def run_folders(runs_dir: Path) -> list[Path]:
    """The folders of all runs below a folder, or their paths in its packed files, in the order of `find_runs`."""
    files = [runs_dir] if runs_dir.is_file() else packed_files(runs_dir)
    folders = sorted(folder for folder in runs_dir.glob("/".join("*" * LEVELS)) if _is_run(folder))
    folders += [folder for file in files for folder in packed_folders(file)]
    return sorted(folders, key=lambda folder: folder.parts[-LEVELS:])


def look_at(folder: Path, runs_dir: Path, intact: bool = False) -> FoundRun:
    """The run of one folder, with its state. Unreadable files are reported, never raised.

    Args:
        folder: folder of the run, or its path in a packed file.
        runs_dir: folder of all runs.
        intact: whether its record has been read before, and need not be checked.
    """
    try:
        if packed_file(folder):
            record = read_packed(folder).record
            return FoundRun(folder, "finished", record=record, config=record.config)
        return _look_at(folder, runs_dir, intact)
    except NewerError as error:
        return FoundRun(folder, "newer", config=_config(folder), problem=str(error))
    except (OSError, ValueError) as error:
        return FoundRun(folder, "damaged", config=_config(folder), problem=str(error))


def find_run(folder: Path, runs_dir: Path) -> FoundRun | None:
    """One run, in its folder or in the packed files of the folder of runs. None if it is nowhere.

    A record in its folder counts, whatever its state. Else the run is finished if a packed file says so.

    Args:
        folder: folder that the run has, or would have.
        runs_dir: folder of all runs.
    """
    own = [look_at(folder, runs_dir)] if folder.is_dir() else []
    if own and (own[0].record or own[0].state == "newer" or os.path.lexists(folder / RECORD)):
        return own[0]
    packed = [look_at(path, runs_dir) for path in packed_beside(folder)]
    return next((run for run in packed if run.record), next(iter([*own, *packed]), None))


def _look_at(folder: Path, runs_dir: Path, intact: bool) -> FoundRun:
    if record := read_record(folder, intact):
        return FoundRun(folder, "finished", record=record, config=record.config)
    if is_held(runs_dir, folder.name):
        return FoundRun(folder, "running", config=_config(folder))
    if failure := read_failure(folder):
        return FoundRun(folder, "failed", failure=failure, config=failure.config)
    if os.path.lexists(folder / FAILURE):
        return FoundRun(folder, "damaged", config=_config(folder), problem=f"{folder / FAILURE}: is damaged")
    if not _can_be_read(folder):
        return FoundRun(folder, "damaged", problem=f"{folder}: cannot be read")
    return FoundRun(folder, "interrupted", config=_config(folder))


def _is_run(folder: Path) -> bool:
    """Whether a folder holds a run. A folder that cannot be read counts as one."""
    here = any(os.path.lexists(folder / name) for name in (CONFIG, RECORD))
    return here or (os.path.isdir(folder) and not _can_be_read(folder))


def _can_be_read(folder: Path) -> bool:
    return os.access(folder, os.R_OK | os.X_OK)


def _config(folder: Path) -> dict[str, Any]:
    try:
        config = read_json(folder / CONFIG)
    except (OSError, SealError):
        return {}
    return config if isinstance(config, dict) else {}
