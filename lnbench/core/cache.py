"""The cache folder, for files that are made once and used by many runs."""

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock
from platformdirs import user_cache_path

log = logging.getLogger(__name__)


def cache_root(cache_dir: Path | None = None) -> Path:
    """The root of the cache: `cache_dir`, else `$LNBENCH_CACHE`, else the user's cache folder."""
    return cache_dir or Path(os.environ.get("LNBENCH_CACHE") or user_cache_path("lnbench"))


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
