"""The failure record, which a run leaves if something went wrong."""

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
from lnbench.records.identity import address_of, run_id
from lnbench.records.lock import is_held

Cause = Literal["diverged", "out of memory", "disk", "killed", "refused", "error"]
TRIED_AGAIN: frozenset[Cause] = frozenset({"disk", "killed", "refused"})
"""Causes outside the run, or before it. Such a run is tried again whenever it is requested."""


class Failure(Schema):
    """The failure record of one run."""

    format: Literal[1] = 1
    id: str
    status: Literal["failed"] = "failed"
    cause: Cause
    message: str
    traceback: str = ""
    """Traceback of the exception; empty if the process died without one."""
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
        """Whether the run stays failed until someone asks for another try."""
        return self.cause not in TRIED_AGAIN


class RunFailed(RuntimeError):
    """A run failed, now or earlier, and has left a failure record."""

    def __init__(self, run: str, cause: Cause, message: str) -> None:
        """
        Args:
            run: title of the run, for people.
            cause: kind of failure.
            message: description of the failure.
        """
        super().__init__(run, cause, message)
        self.run, self.cause, self.message = run, cause, message

    def __str__(self) -> str:
        return f"{self.run} failed ({self.cause}): {self.message}"


class InputError(RuntimeError):
    """A model or data could not be read, for an unforeseen reason. Its cause is the original exception."""


@contextlib.contextmanager
def reading_input() -> Iterator[None]:
    """Marks exceptions in the block as errors of the model or the data, and not of the run.

    Raises:
        InputError: replaces an exception whose type does not show by itself that the input is at fault.
    """
    try:
        yield
    except Exception as error:
        if cause_of(error) != "error":
            raise
        raise InputError(f"{type(error).__name__}: {error}") from error


def describe(config: RunConfig, cause: Cause, message: str, error: BaseException | None = None) -> Failure:
    """Creates the failure record of this process, with the current time."""
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
    """The failure record of a run's folder; None if there is none, or if it is damaged (then the run may be repeated).

    Raises:
        NewerError: a newer lnbench wrote the file.
    """
    try:
        return read_as(Failure, folder / FAILURE)
    except (OSError, SealError):
        return None


def record_death(config: RunConfig, reason: str) -> None:
    """Writes a failure record for a process that died without an exception.

    It writes nothing if the run is finished or is being done by another process.

    Args:
        config: configuration of the process's run.
        reason: description of the death, such as `killed by SIGKILL`.
    """
    address = address_of(config)
    begun = (address.folder / CONFIG).is_file() and not (address.folder / RECORD).is_file()
    if begun and not is_held(address.runs_dir, address.id):
        write_failure(describe(config, "killed", reason), address.folder)


def cause_of(error: BaseException) -> Cause:
    """The kind of failure that an exception indicates."""
    from lnbench.core.errors import Diverged, ProcessKilled

    if isinstance(error, Diverged):
        return "diverged"
    if isinstance(error, ProcessKilled):
        return "killed"
    if is_out_of_memory(error):
        return "out of memory"
    return "refused" if is_of_input(error) else "error"


def is_of_input(error: BaseException) -> bool:
    """Whether the input is at fault: settings, data, weights, saved states, or a place that cannot be reached.

    PyTorch alone notices ids of tokens and labels that the model does not have. It raises an IndexError on a CPU, and
    an assertion error of its own on a GPU.
    """
    from safetensors import SafetensorError

    from lnbench.core.errors import CheckpointError
    from lnbench.core.tensors import TensorFileError
    from lnbench.records.adapter import AdapterError

    files = (OSError, SafetensorError, SealError, AdapterError, TensorFileError, CheckpointError)
    if isinstance(error, (ConfigError, DataError, InputError, IndexError, *files)):
        return True
    return isinstance(error, RuntimeError) and "device-side assert" in str(error)
