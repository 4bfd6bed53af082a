"""Remembers facts about the records of a folder of runs, from one command to the next.

The memory is kept in the cache and not beside the records, because a folder of runs may come from anyone. A fact counts
only as long as the size, inode and times of its record are the same.
"""

import hashlib
import json
import logging
import time
from pathlib import Path
from typing import Any

from lnbench import __version__
from lnbench.core.atomic_files import write_atomically
from lnbench.core.cache import cache_root
from lnbench.core.digests import SETTLED_SECONDS
from lnbench.records.files import RECORD
from lnbench.records.packed import LEVELS

Stamp = list[int]
"""Values that change whenever a record changes."""

log = logging.getLogger(__name__)


class Memory:
    """Facts about the finished runs of one folder, as JSON values."""

    def __init__(self, runs_dir: Path, kind: str, form: object = None) -> None:
        """
        Args:
            runs_dir: folder of the runs.
            kind: folder of the cache with the memories of one kind, one for each folder of runs.
            form: description of the facts. Facts of another form, or of another version of lnbench, are not used.
        """
        known = repr([__version__, form, str(runs_dir.resolve())])
        self._file = cache_root() / kind / hashlib.sha256(known.encode()).hexdigest()
        self._known: dict[str, list[Any]] = _read(self._file)
        self._kept: dict[str, list[Any]] = {}
        self._now = time.time_ns()

    def recall(self, folder: Path, stamp: Stamp | None) -> Any:
        """The fact about the run of a folder; None if none is known, or if the record has changed since."""
        kept, fact = self._known.get(_name(folder), (None, None))
        return fact if stamp is not None and kept == stamp else None

    def keep(self, folder: Path, stamp: Stamp | None, fact: Any) -> None:
        """Remembers a fact, unless the record may change again within one tick of the file system's clock.

        Args:
            folder: folder of the run.
            stamp: stamp of the record from before it was read.
            fact: anything that JSON can hold, but None.
        """
        if stamp is not None and self._now - stamp[-1] > SETTLED_SECONDS * 1e9:
            self._kept[_name(folder)] = [stamp, fact]

    def save(self) -> None:
        """Writes what was kept, and nothing else. A cache that cannot be written is no error."""
        if self._kept == self._known:
            return
        text = json.dumps(self._kept)
        try:
            write_atomically(self._file, f"{hashlib.sha256(text.encode()).hexdigest()}\n{text}")
        except OSError as error:
            log.debug("%s cannot be written (%s)", self._file, error)


def stamp_of(folder: Path) -> Stamp | None:
    """The stamp of the record in a folder; None if there is none."""
    try:
        about = folder.joinpath(RECORD).stat()
    except OSError:
        return None
    return [about.st_size, about.st_ino, about.st_mtime_ns, about.st_ctime_ns]


def _name(folder: Path) -> str:
    return "/".join(folder.parts[-LEVELS:])


def _read(file: Path) -> dict[str, list[Any]]:
    """The remembered facts; nothing if the file is damaged."""
    try:
        digest, _, text = file.read_bytes().partition(b"\n")
    except OSError:
        return {}
    whole = digest.decode(errors="replace") == hashlib.sha256(text).hexdigest()
    known: dict[str, list[Any]] = json.loads(text) if whole else {}
    return known
