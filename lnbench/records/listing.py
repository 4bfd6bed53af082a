"""All runs of a folder, and how each of them stands."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from lnbench.records.failure import Failure, read_failure
from lnbench.records.files import CONFIG, FAILURE, RECORD
from lnbench.records.lock import is_held
from lnbench.records.record import Record, RecordError, read_record

State = Literal["finished", "failed", "running", "interrupted", "damaged"]
DEPTH = "*/*/*/*"
"""Task, model, method, identity: where `run_dir` puts a run below `runs_dir`."""


@dataclass(frozen=True)
class FoundRun:
    """One run's folder.

    Attributes:
        folder: of the run; its name is the run's id.
        state: `interrupted` was begun, is done by nobody now, and can go on; `damaged` has a record
            that cannot be trusted.
        record: of a finished run.
        failure: of a failed run.
        config: as far as it can be read.
        problem: what is wrong with a damaged run.
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


def find_runs(runs_dir: Path) -> Iterator[FoundRun]:
    """Every run below a folder, sorted by task, model, method and id; what cannot be read is told, never raised."""
    for folder in sorted(runs_dir.glob(DEPTH)):
        if (folder / CONFIG).is_file() or (folder / RECORD).is_file():
            yield look_at(folder, runs_dir)


def look_at(folder: Path, runs_dir: Path) -> FoundRun:
    """How the run of one folder stands."""
    try:
        if record := read_record(folder):
            return FoundRun(folder, "finished", record=record, config=record.config)
    except RecordError as error:
        return FoundRun(folder, "damaged", config=_config(folder), problem=str(error))
    if is_held(runs_dir, folder.name):
        return FoundRun(folder, "running", config=_config(folder))
    if failure := read_failure(folder):
        return FoundRun(folder, "failed", failure=failure, config=failure.config)
    if (folder / FAILURE).is_file():
        return FoundRun(folder, "damaged", config=_config(folder), problem=f"{folder / FAILURE}: is damaged")
    return FoundRun(folder, "interrupted", config=_config(folder))


def _config(folder: Path) -> dict[str, Any]:
    try:
        config = json.loads((folder / CONFIG).read_bytes())
    except (OSError, ValueError):
        return {}
    return config if isinstance(config, dict) else {}
