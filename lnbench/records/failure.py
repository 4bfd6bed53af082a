"""What a run leaves that did not finish because something went wrong."""

import contextlib
import os
import platform
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from lnbench.config.run import RunConfig
from lnbench.core.errors import DataError, is_out_of_memory
from lnbench.core.schema import ConfigError, Schema
from lnbench.core.sealed import SealError, read_as, write_sealed
from lnbench.records.files import CONFIG, FAILURE, RECORD
from lnbench.records.identity import run_dir, run_id
from lnbench.records.lock import is_held

Cause = Literal["diverged", "out of memory", "disk", "killed", "refused", "error"]
TRIED_AGAIN: frozenset[Cause] = frozenset({"disk", "killed", "refused"})
"""Causes that lie outside the run, or before it: it is tried again whenever it is asked for."""


class Failure(Schema):
    """One run that failed."""

    format: Literal[1] = 1
    id: str
    status: Literal["failed"] = "failed"
    cause: Cause
    message: str
    traceback: str = ""
    """Empty when the process died without a word."""
    method: str
    task: str
    model: str
    seed: int
    host: str
    pid: int
    failed_at: str
    config: dict[str, Any]

    @property
    def lasts(self) -> bool:
        """Whether the run is not tried again until someone asks for that."""
        return self.cause not in TRIED_AGAIN


class RunFailed(RuntimeError):
    """A run failed, now or earlier, and has left a failure record."""

    def __init__(self, run: str, cause: Cause, message: str) -> None:
        """
        Args:
            run: which one, for a person.
            cause: the kind of failure.
            message: what went wrong.
        """
        super().__init__(run, cause, message)
        self.run, self.cause, self.message = run, cause, message

    def __str__(self) -> str:
        return f"{self.run} failed ({self.cause}): {self.message}"


class InputError(RuntimeError):
    """A model or data could not be read, for a reason that nothing foresaw; its cause is what went wrong."""


@contextlib.contextmanager
def reading_input() -> Iterator[None]:
    """Marks what goes wrong while model and data are read: it is theirs, not the run's.

    Raises:
        InputError: in place of an exception that does not tell by itself where it belongs.
    """
    try:
        yield
    except Exception as error:
        if cause_of(error) != "error":
            raise
        raise InputError(f"{type(error).__name__}: {error}") from error


def describe(config: RunConfig, cause: Cause, message: str, error: BaseException | None = None) -> Failure:
    """A failure of this process, now."""
    return Failure(
        id=run_id(config),
        cause=cause,
        message=message,
        traceback="".join(traceback.format_exception(error)) if error else "",
        method=config.method_name,
        task=config.task.name,
        model=config.model.name,
        seed=config.seed,
        host=platform.node(),
        pid=os.getpid(),
        failed_at=datetime.now(UTC).isoformat(timespec="seconds"),
        config=config.to_dict(),
    )


def write_failure(failure: Failure, folder: Path) -> None:
    """Writes `folder/failure.json` atomically.

    Raises:
        OSError: the file cannot be written.
    """
    write_sealed(folder / FAILURE, failure.model_dump(mode="json"))


def read_failure(folder: Path) -> Failure | None:
    """Why the run of a folder failed; None if it did not, or if the file is damaged (it may then be tried again).

    Raises:
        NewerError: the file is of a newer lnbench.
    """
    try:
        return read_as(Failure, folder / FAILURE)
    except (OSError, SealError):
        return None


def record_death(config: RunConfig, reason: str) -> None:
    """Leaves a failure in place of a process that died without a word, unless the run is finished or goes on elsewhere.

    Args:
        config: of the run that the process did.
        reason: how it died, such as `killed by SIGKILL`.
    """
    folder = run_dir(config)
    if (folder / CONFIG).is_file() and not (folder / RECORD).is_file() and not is_held(config.runs_dir, run_id(config)):
        write_failure(describe(config, "killed", reason), folder)


def cause_of(error: BaseException) -> Cause:
    """The kind of failure that an exception is."""
    from lnbench.core.errors import Diverged, ProcessKilled

    if isinstance(error, Diverged):
        return "diverged"
    if isinstance(error, ProcessKilled):
        return "killed"
    if is_out_of_memory(error):
        return "out of memory"
    return "refused" if is_of_input(error) else "error"


def is_of_input(error: BaseException) -> bool:
    """Whether what a run reads is at fault: settings, data, weights, saved states, or a place that cannot be reached.

    Ids of tokens and labels that the model does not have are noticed by PyTorch alone: on a CPU as an IndexError, on a
    GPU as an assertion of its own.
    """
    from safetensors import SafetensorError

    from lnbench.core.errors import CheckpointError
    from lnbench.core.tensors import TensorFileError
    from lnbench.records.adapter import AdapterError

    files = (OSError, SafetensorError, SealError, AdapterError, TensorFileError, CheckpointError)
    if isinstance(error, (ConfigError, DataError, InputError, IndexError, *files)):
        return True
    return isinstance(error, RuntimeError) and "device-side assert" in str(error)
