"""The runs of a folder as rows. Rows of finished runs are cached, so the next list need not read their records.

The rows are kept in the cache and not beside the records, because a folder of runs may come from anyone. A record whose
size, inode or times have changed is read again.
"""

import functools
import hashlib
import json
import logging
import time
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from lnbench import __version__
from lnbench.core.atomic_files import write_atomically
from lnbench.core.cache import cache_root
from lnbench.core.digests import SETTLED_SECONDS
from lnbench.records.files import RECORD
from lnbench.records.listing import FoundRun, look_at, run_folders
from lnbench.records.packed import LEVELS
from lnbench.runs.row import RunRow, row_of

FOLDER = "lists"
"""Folder of the cache with one file for each folder of runs."""
NAMES = [field.name for field in fields(RunRow) if field.name != "folder"]
Known = dict[str, list[Any]]
"""By folder of a finished run, relative to the folder of runs: values that identify its record's content, and the
row."""

log = logging.getLogger(__name__)


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
    memory = _memory(runs_dir)
    known, now = _read(memory), time.time_ns()
    runs: list[Listed] = []
    seen: Known = {}
    for folder in run_folders(runs_dir):
        name, stamp = "/".join(folder.parts[-LEVELS:]), _stamp(folder)
        remembered = known.get(name)
        if remembered and remembered[0] == stamp:
            row = _from_values(remembered[1], folder)
        else:
            row = row_of(look_at(folder, runs_dir))
        runs.append(Listed(row, folder, runs_dir))
        if row.state == "finished" and stamp and now - stamp[-1] > SETTLED_SECONDS * 1e9:
            seen[name] = remembered if remembered and remembered[0] == stamp else [stamp, _values(row)]
    if seen != known:
        _write(memory, seen)
    return runs


def _values(row: RunRow) -> list[Any]:
    return [getattr(row, name) for name in NAMES]


def _from_values(values: list[Any], folder: Path) -> RunRow:
    named: dict[str, Any] = dict(zip(NAMES, values, strict=True))
    return RunRow(**{**named, "no_better": tuple(named["no_better"])}, folder=str(folder))


def _stamp(folder: Path) -> list[int] | None:
    """Values that change whenever the folder's record changes; None if it has no record."""
    try:
        about = folder.joinpath(RECORD).stat()
    except OSError:
        return None
    return [about.st_size, about.st_ino, about.st_mtime_ns, about.st_ctime_ns]


def _memory(runs_dir: Path) -> Path:
    known = repr([__version__, NAMES, str(runs_dir.resolve())])
    return cache_root() / FOLDER / hashlib.sha256(known.encode()).hexdigest()


def _read(memory: Path) -> Known:
    """The remembered rows; nothing if the file is damaged."""
    try:
        digest, _, text = memory.read_bytes().partition(b"\n")
    except OSError:
        return {}
    whole = digest.decode(errors="replace") == hashlib.sha256(text).hexdigest()
    known: Known = json.loads(text) if whole else {}
    return known


def _write(memory: Path, known: Known) -> None:
    text = json.dumps(known)
    try:
        write_atomically(memory, f"{hashlib.sha256(text.encode()).hexdigest()}\n{text}")
    except OSError as error:
        log.debug("%s cannot be written (%s)", memory, error)
