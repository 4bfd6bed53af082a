"""Two processes never do one run at once: a lock that the operating system frees when its holder dies."""

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
"""Folder below `runs_dir`. Its empty files stay: a lock file that goes while another process opens it locks nothing."""
PATIENCE_SECONDS = 1.0
"""How long a lock is asked for; someone who only looks whether it is held, holds it for less."""


class RunBusy(RuntimeError):
    """Another process is doing the run."""


@contextlib.contextmanager
def hold(runs_dir: Path, run_id: str) -> Iterator[None]:
    """Keeps every other process, on this machine or on one that shares the folder, from doing the run.

    Raises:
        RunBusy: another process holds it.
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
    """Whether a living process is doing the run; where nothing may be locked, whether one says that it does."""
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
