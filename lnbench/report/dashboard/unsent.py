"""Finds runs with W&B data that has not been sent yet."""

import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path

from rich.console import Console
from rich.text import Text

from lnbench.report.dashboard.target import Target

LOGS, OFFLINE_LOGS = "wandb/*run-*/*.wandb", "wandb/offline-run-*/*.wandb"
"""Files in which W&B keeps a run, below the run's folder."""


def show_unsent(console: Console, folders: Mapping[str, Path], target: Target) -> None:
    """Prints the command that sends unsent runs, and the number of runs that were not logged to W&B at all.

    Args:
        console: console to print to.
        folders: folders of the runs, by id.
        target: project at W&B.
    """
    waiting = [folder for folder in folders.values() if _is_offline(folder)]
    if waiting:
        console.print(Text(f"{_runs(waiting)} not at W&B yet; its plots lack them until they are sent:", "yellow"))
        console.print(Text(_command(waiting, target), "cyan"), soft_wrap=True)
    unknown = [folder for folder in folders.values() if not any(folder.glob(LOGS))]
    if unknown:
        why = "without W&B data here (logger=wandb leaves it); unless logged elsewhere, only the tables have them"
        console.print(Text(f"{_runs(unknown)} {why}", "yellow"))


def _is_offline(folder: Path) -> bool:
    """Whether a part of the run was logged offline and not sent. W&B marks sent parts by a file beside them."""
    return any(not path.with_name(f"{path.name}.synced").exists() for path in folder.glob(OFFLINE_LOGS))


def _command(folders: Iterable[Path], target: Target) -> str:
    options = ["--entity", target.entity] if target.entity else []
    start = shlex.join(["wandb", "sync", *options, "--project", target.project])
    return " \\\n    ".join([f"  {start}", *(shlex.quote(str(folder / "wandb")) for folder in folders)])


def _runs(folders: list[Path]) -> str:
    return "1 run is" if len(folders) == 1 else f"{len(folders)} runs are"
