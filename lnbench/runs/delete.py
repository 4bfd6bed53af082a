"""Deletes runs."""

import contextlib
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.filesize import decimal

from lnbench.core.escape import printable
from lnbench.core.schema import ConfigError
from lnbench.records.files import RECORD
from lnbench.records.lock import RunBusy, hold
from lnbench.records.packed import packed_file
from lnbench.runs.display import new_console, show_runs
from lnbench.runs.listed import Listed

DONE = ("finished", "newer", "damaged")
"""States of runs that may have a record."""
_OF_NEWER = "run {}: a newer lnbench did it; state=newer deletes such runs"


def delete(runs: Sequence[Listed], runs_dir: Path, sure: bool, newer: bool) -> bool:
    """Shows runs, asks, and deletes their folders. It keeps a run that is being done or that is reached by a link.

    Args:
        runs: runs to delete.
        runs_dir: folder of the runs.
        sure: whether to delete without asking.
        newer: whether to delete runs of a newer lnbench, of which this one does not know what they hold.

    Returns:
        Whether all of the runs are gone.

    Raises:
        ConfigError: there is no terminal to ask on.
    """
    show_runs(runs)
    console = new_console()
    kept = {run.folder: problem for run in runs if (problem := _obstacle(run, runs_dir))}
    kept |= {run.folder: _OF_NEWER.format(run.row.id) for run in runs if run.row.state == "newer" and not newer}
    for problem in kept.values():
        console.print(printable(f"not deleted: {problem}"), soft_wrap=True)
    chosen = [run for run in runs if run.folder not in kept]
    if not chosen:
        return not kept
    if not sure and not _confirmed(f"Delete {len(chosen):,} of {decimal(sum(map(_size, chosen)))}? [y/N] "):
        print("Nothing is deleted.")
        return False
    freed, deleted = 0, 0
    for run in chosen:
        size = _size(run)
        if problem := _delete_one(run, runs_dir):
            console.print(printable(f"not deleted: {problem}"), soft_wrap=True)
        else:
            freed, deleted = freed + size, deleted + 1
    console.print(f"{deleted:,} deleted, {freed:,} bytes freed")
    return deleted == len(runs)


def _obstacle(run: Listed, runs_dir: Path) -> str:
    """The reason why a run cannot be deleted, checked before any file is touched; empty if it can."""
    if packed := packed_file(run.folder):
        return f"run {run.row.id}: is in {packed} with others; delete that file instead"
    path = run.folder
    while path != runs_dir:
        if path.is_symlink():
            return (
                f"run {run.row.id}: {path} is a link to {os.readlink(path)}; delete the run there, or the link yourself"
            )
        path = path.parent
    folders = [run.folder.parent, *(Path(folder) for folder, _, _ in os.walk(run.folder))]
    for folder in folders:
        if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
            return f"run {run.row.id}: {folder} cannot be changed"
    return ""


def _confirmed(question: str) -> bool:
    if not sys.stdin.isatty():
        raise ConfigError("--delete: without a terminal to ask at, it needs --yes")
    try:
        return input(question).strip().lower() in ("y", "yes")
    except (EOFError, KeyboardInterrupt):
        return False


def _delete_one(run: Listed, runs_dir: Path) -> str:
    """Deletes a run's folder; returns the reason for a failure, or an empty text.

    The record goes first, so that a partly deleted run does not count as finished.
    """
    try:
        with hold(runs_dir, run.row.id):
            if run.row.state not in DONE and (run.folder / RECORD).is_file():
                return f"run {run.row.id} has finished meanwhile"
            if problem := _obstacle(run, runs_dir):
                return problem
            if not (run.folder / RECORD).is_dir():
                (run.folder / RECORD).unlink(missing_ok=True)
            shutil.rmtree(run.folder)
    except RunBusy as busy:
        return str(busy)
    except OSError as error:
        return f"run {run.row.id}: {error}"
    _remove_empty(run.folder.parent, runs_dir)
    return ""


def _remove_empty(folder: Path, runs_dir: Path) -> None:
    """Deletes the folders of a method, model and task that no longer hold a run."""
    with contextlib.suppress(OSError):
        while folder != runs_dir:
            folder.rmdir()
            folder = folder.parent


def _size(run: Listed) -> int:
    """Size of all files of a run, in bytes."""
    return sum(path.lstat().st_size for path in run.folder.rglob("*") if not path.is_dir())
