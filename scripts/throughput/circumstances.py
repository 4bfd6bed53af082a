"""The conditions of a benchmark, besides the code, on which its numbers depend."""

import argparse
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from lnbench.config.run import RunConfig
from lnbench.core.words import number_of
from lnbench.records import environment
from lnbench.training.device import choose_precision


def circumstances(options: argparse.Namespace, config: RunConfig) -> dict[str, Any]:
    """Date, options, model, task, machine and versions, as JSON values."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "options": {**vars(options), "save": str(options.save)},
        "model": config.model.name,
        "task": config.task.name,
        "precision": choose_precision(config.trainer),
        "hardware": environment.hardware(),
        "versions": {**environment.versions(), **{name: version(name) for name in ("peft", "accelerate")}},
        "git_commit": environment.git_commit(),
    }


def machine(report: dict[str, Any]) -> str:
    """The GPU, or the processor and its number of threads, as text."""
    hardware = report["hardware"]
    return str(hardware.get("gpu", f"{number_of(hardware['threads'], 'thread')} of {hardware['cpu']}"))


def positive(text: str) -> int:
    """Parses an argument as a positive integer."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number}: must be 1 or more")
    return number
