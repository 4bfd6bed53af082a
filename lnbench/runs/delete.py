"""Removal of runs."""

import contextlib
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.filesize import decimal

from lnbench.escape import printable
from lnbench.records.files import RECORD
from lnbench.records.listing import FoundRun
from lnbench.records.lock import RunBusy, hold
from lnbench.runs.display import new_console, show_runs
from lnbench.schema import ConfigError


def delete(runs: Sequence[FoundRun], runs_dir: Path, sure: bool) -> bool:
    """Shows runs, asks, and deletes their folders; one that is being done stays.

    Args:
        runs: to delete.
        runs_dir: where they are.
        sure: do not ask.

    Returns:
        Whether all of them are gone.

    Raises:
        ConfigError: nobody is there to be asked.
    """
    show_runs(runs)
    if not runs:
        return True
    if not sure and not _confirmed(f"Delete {len(runs):,} of {decimal(sum(map(_size, runs)))}? [y/N] "):
        print("Nothing is deleted.")
        return False
    console, freed, deleted = new_console(), 0, 0
    for run in runs:
        size = _size(run)
        if problem := _delete_one(run, runs_dir):
            console.print(printable(f"not deleted: {problem}"), soft_wrap=True)
        else:
            freed, deleted = freed + size, deleted + 1
    console.print(f"{deleted:,} deleted, {freed:,} bytes freed")
    return deleted == len(runs)


def _confirmed(question: str) -> bool:
    if not sys.stdin.isatty():
        raise ConfigError("--delete: without a terminal to ask at, it needs --yes")
    try:
        return input(question).strip().lower() in ("y", "yes")
    except (EOFError, KeyboardInterrupt):
        return False


def _delete_one(run: FoundRun, runs_dir: Path) -> str:
    """Deletes a run's folder; returns why not, or an empty text.

    The record goes first, so that a run of which only a part could be deleted is not taken for a finished one.
    """
    try:
        with hold(runs_dir, run.id):
            if run.state not in ("finished", "damaged") and (run.folder / RECORD).is_file():
                return f"run {run.id} has finished meanwhile"
            (run.folder / RECORD).unlink(missing_ok=True)
            shutil.rmtree(run.folder)
    except RunBusy as busy:
        return str(busy)
    except OSError as error:
        return f"run {run.id}: {error}"
    _remove_empty(run.folder.parent, runs_dir)
    return ""


def _remove_empty(folder: Path, runs_dir: Path) -> None:
    """Removes the folders of a method, model and task that hold no run any more."""
    with contextlib.suppress(OSError):
        while folder != runs_dir:
            folder.rmdir()
            folder = folder.parent


def _size(run: FoundRun) -> int:
    """Bytes of all files of a run."""
    return sum(path.lstat().st_size for path in run.folder.rglob("*") if not path.is_dir())
