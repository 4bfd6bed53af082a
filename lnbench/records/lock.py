"""A lock that keeps two processes from doing the same run. The operating system frees it when its holder dies."""

import contextlib
import json
import os
import platform
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from lnbench.core.atomic_files import write_atomically
from lnbench.core.sealed import read_json

LOCKS = ".locks"
"""Folder below `runs_dir`. Its empty files are kept, because deleting a lock file while another process opens it would
make that process's lock useless."""
PATIENCE_SECONDS = 1.0
"""Seconds to wait for a lock. A process that only checks whether it is held, holds it for less time."""


class RunBusy(RuntimeError):
    """Another process is doing the run."""


@contextlib.contextmanager
def hold(runs_dir: Path, run_id: str) -> Iterator[None]:
    """Keeps all other processes from doing the run, on this machine and on machines that share the folder.

    Raises:
        RunBusy: another process holds the lock.
        OSError: the folder cannot be written.
    """
    lock = _lock(runs_dir, run_id)
    Path(lock.lock_file).parent.mkdir(parents=True, exist_ok=True)
    try:
        lock.acquire(timeout=PATIENCE_SECONDS)
    except Timeout:
        raise RunBusy(f"run {run_id} is being done by {_holder(runs_dir, run_id)}") from None
    try:
        write_atomically(_about(runs_dir, run_id), json.dumps(_myself()))
        yield
    finally:
        _about(runs_dir, run_id).unlink(missing_ok=True)
        lock.release()


def is_held(runs_dir: Path, run_id: str) -> bool:
    """Whether a living process is doing the run. Where locking is not allowed, whether a process says so."""
    if not (runs_dir / LOCKS).is_dir():
        return False
    try:
        with _lock(runs_dir, run_id).acquire(blocking=False):
            return False
    except Timeout:
        return True
    except OSError:
        return _about(runs_dir, run_id).is_file()


def _lock(runs_dir: Path, run_id: str) -> FileLock:
    return FileLock(runs_dir / LOCKS / f"{run_id}.lock", is_singleton=False)


def _about(runs_dir: Path, run_id: str) -> Path:
    return runs_dir / LOCKS / f"{run_id}.json"


def _myself() -> dict[str, str | int]:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return {"pid": os.getpid(), "host": platform.node(), "since": now}


def _holder(runs_dir: Path, run_id: str) -> str:
    try:
        about = read_json(_about(runs_dir, run_id))
        return f"process {about['pid']} on {about['host']} since {about['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
