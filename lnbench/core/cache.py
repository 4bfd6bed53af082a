"""The cache folder, for files that are made once and used by many runs."""

import contextlib
import functools
import logging
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from filelock import FileLock
from platformdirs import user_cache_path

log = logging.getLogger(__name__)


def cache_root(cache_dir: Path | None = None) -> Path:
    """The root of the cache: `cache_dir`, else `$LNBENCH_CACHE`, else the user's cache folder."""
    return cache_dir or Path(os.environ.get("LNBENCH_CACHE") or user_cache_path("lnbench"))


def scratch_file() -> IO[bytes]:
    """A new file for what is too large for memory. It has no name, and is gone when the process ends.

    It is in the cache folder, or else in the system's folder for temporary files.

    Raises:
        OSError: it cannot be made.
    """
    folder = cache_root()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryFile(dir=folder)
    except OSError as error:
        _warn_once(folder, str(error.strerror))
        return tempfile.TemporaryFile()


@functools.cache
def _warn_once(folder: Path, reason: str) -> None:
    """Says that the folder cannot be used. Data of many rows needs many files, for which one warning is enough."""
    log.warning("%s cannot be written (%s): using the system's folder for temporary files", folder, reason)


@contextlib.contextmanager
def one_at_a_time(path: Path) -> Iterator[None]:
    """Makes processes that create the same `path` wait for each other, so only the first creates it.

    If no lock can be taken, a warning is logged and each process does the work itself.

    Args:
        path: file or folder two levels below the root of the cache.
    """
    lock = FileLock(path.parent.parent / "locks" / f"{path.name}.lock")
    try:
        Path(lock.lock_file).parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError as error:
        log.warning("%s cannot be locked (%s): going on without a lock", path, error)
    try:
        yield
    finally:
        lock.release()
