"""One place where a run is logged. No error there stops a run."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from rich.console import Console

from lnbench.config.run import RunConfig
from lnbench.core.names import plain_name
from lnbench.records.record import Record

SUCCEEDED, FAILED, INTERRUPTED = 0, 1, 130
"""Exit codes with which a log is closed. An interrupted run can go on."""
BEST = {"validation": "best"}
"""Prefix of a split's scores at the best step. The plain names hold the last scores, which come from the curves."""

log = logging.getLogger(__name__)


class Log(ABC):
    """A place where a run is logged. Errors there are shown once and stop nothing."""

    title: ClassVar[str]
    """Name of the place, for people."""

    def __init__(self) -> None:
        self._told = False

    @abstractmethod
    def log_metrics(self, metrics: Mapping[str, Any], step: int) -> None:
        """Adds points to the curves. It may raise any error."""

    @abstractmethod
    def log_results(self, record: Record, folder: Path) -> None:
        """Adds the results of a finished run, whose files are in `folder`."""

    @abstractmethod
    def close(self, exit_code: int, folder: Path) -> None:
        """Ends the log of this process, and prints where the run can be seen."""

    def attempt(self, action: Callable[..., object], *arguments: object) -> None:
        """Calls a function, and turns its error into a warning."""
        try:
            action(*arguments)
        except Exception as error:
            if not self._told:
                warn(self.title, error)
            self._told = True

    def announce(self, place: str) -> None:
        """Prints where the run can be seen."""
        Console(highlight=False).print(f"{self.title:<9} {place}", soft_wrap=True, markup=False)


def warn(title: str, error: Exception) -> None:
    """Says that a place does not log the run as it should."""
    log.warning("%s: %s: %s; the run goes on", title, type(error).__name__, error)


def run_name(config: RunConfig) -> str:
    """A run's name where many runs are listed."""
    return f"{config.method_name}-{plain_name(config.task.name)}-{config.seed}"


def group_of(config: RunConfig) -> str:
    """The name that the seeds of one method on one task share."""
    return f"{config.method_name}/{plain_name(config.task.name)}"


def summary_values(record: Record) -> dict[str, float]:
    """Single numbers by which runs are compared. The scores of the best validation are named `best/...`."""
    groups: dict[str, dict[str, Any]] = {
        **{BEST.get(split, split): scores for split, scores in record.metrics.items()},
        "parameters": record.parameters.model_dump(exclude={"by_part"}),
        "cost": record.cost.model_dump(exclude_none=True),
        "retention": record.retention.model_dump() if record.retention else {},
    }
    values = {f"{group}/{name}": value for group, values in groups.items() for name, value in values.items()}
    return {"score": record.score, **values}


def shifts_by_term(record: Record) -> dict[str, list[float]]:
    """The mean absolute changes of the norms, by `shift/gain` and `shift/bias`."""
    changes: dict[str, list[float]] = {}
    for row in record.shift:
        changes.setdefault(f"shift/{row.term}", []).append(row.mean_abs)
    return changes
