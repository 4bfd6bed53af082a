"""Does a run unless it was done before, and tells the user about it."""

from __future__ import annotations

import contextlib
import logging
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from lnbench.config.run import RunConfig
from lnbench.core.errors import DataError
from lnbench.core.interruption import RunInterrupted
from lnbench.core.schema import ConfigError
from lnbench.records.failure import Failure, InputError, RunFailed, cause_of, describe, read_failure, write_failure
from lnbench.records.files import CONFIG, FAILURE, RESUME, remove_checkpoints
from lnbench.records.finished import finished_run, require_known
from lnbench.records.identity import Address, address_of, title
from lnbench.records.lock import hold
from lnbench.records.record import Record, RecordError, SearchResult
from lnbench.run import messages
from lnbench.run.afterwards import spared
from lnbench.run.folder import DISK_PROBLEMS, cannot_write, check_folder, set_aside
from lnbench.run.search import search_by_trials
from lnbench.training.shared import Shared

if TYPE_CHECKING:  # at run time, torch is imported only where a run is not done yet
    from lnbench.training.context import FusedTraining

log = logging.getLogger(__name__)


def run(config: RunConfig, fused: FusedTraining | None = None, shared: Shared | None = None) -> Record:
    """Tunes a model, tests its best checkpoint, and leaves a record; or finds the record of an earlier run.

    Args:
        config: configuration of the run.
        fused: set for a run that trains together with others; None: it trains alone.
        shared: what the runs of a search share; None: the run is alone.

    Returns:
        The record, new or old.

    Raises:
        ConfigError: this machine does not have the requested device or precision, the folder cannot be
            written, or the model cannot be loaded.
        DataError: the data cannot be loaded.
        RunBusy: another process is doing the run.
        NewerError: a newer lnbench did the run, or has begun it.
        RunFailed: the run failed, now or earlier, and has left a failure record.
        RunInterrupted: a signal came; the same command continues where the run stopped.
    """
    address = address_of(config)
    with contextlib.suppress(RecordError):
        if record := _done_before(config, address):
            return record
    try:
        with hold(address.runs_dir, address.id):
            return _done_meanwhile(config, address) or _do(config, address, fused, shared or Shared())
    except OSError as error:
        raise ConfigError(cannot_write(config, error)) from error


def _done_before(config: RunConfig, address: Address) -> Record | None:
    """The record of an earlier run.

    Raises:
        RecordError: the record cannot be trusted.
        RunFailed: the run failed for a reason of its own, and the configuration does not ask for another try.
    """
    require_known(address.folder)
    if config.rerun:
        return None
    if found := finished_run(address):
        messages.show_skipped(found.record, config.task, found.folder)
        return found.record
    failure = read_failure(address.folder)
    if failure and failure.lasts and not config.retry_failed:
        told = f"at {failure.failed_at}, retry_failed=true tries it again, see {address.folder / FAILURE}"
        message = f"{failure.message}; {told}"
        raise RunFailed(_title(failure), failure.cause, message)
    return None


def _done_meanwhile(config: RunConfig, address: Address) -> Record | None:
    """The record that another process wrote between the first check and the lock.

    If the record or files of a run are damaged, they are set aside and the run is done again. They may hold results
    that exist nowhere else.
    """
    try:
        return _done_before(config, address)
    except RecordError as error:
        check_folder(address.folder)
        kept = set_aside(address.folder, address.runs_dir)
        log.warning("%s; its folder is kept as %s; running again", error, kept)
        return None


def _do(config: RunConfig, address: Address, fused: FusedTraining | None, shared: Shared) -> Record:
    """Does the run, after the trials that its search needs. Any error in it is recorded."""
    folder = address.folder
    try:
        check_folder(folder)
        trial = partial(run, fused=fused, shared=shared)
        config, found = search_by_trials(config, trial) if config.search else (config, None)
        record = _execute(config, address, found, fused, shared)
    except RunFailed:
        raise
    except (ConfigError, DataError) as error:
        if (folder / CONFIG).is_file() and not any((folder / name).is_file() for name in (RESUME, FAILURE)):
            _write(describe(config, cause_of(error), str(error)), folder)
        raise
    except (RunInterrupted, KeyboardInterrupt):
        messages.show_interrupted(folder, saved=(folder / RESUME).is_file())
        raise
    except Exception as error:
        raise _record_failure(config, folder, error) from error
    with spared("the summary"):
        messages.show_finished(record, config.task, folder)
    return record


def _execute(
    config: RunConfig, address: Address, found: SearchResult | None, fused: FusedTraining | None, shared: Shared
) -> Record:
    from lnbench.run.execute import execute
    from lnbench.run.sharded import execute_sharded
    from lnbench.training.device import count_devices

    if count_devices(config.trainer) > 1:
        return execute_sharded(config, address, found)
    return execute(config, address, found, fused, shared)


def _record_failure(config: RunConfig, folder: Path, error: Exception) -> RunFailed:
    if isinstance(error, OSError) and error.errno in DISK_PROBLEMS:
        failure = describe(config, "disk", cannot_write(config, error), error)
    else:
        message = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
        failure = describe(config, cause_of(error), message, error)
    if failure.cause == "diverged":
        remove_checkpoints(folder)
    _write(failure, folder)
    return RunFailed(_title(failure), failure.cause, failure.message)


def _write(failure: Failure, folder: Path) -> None:
    try:
        write_failure(failure, folder)
    except OSError as problem:
        log.warning("the failure could not be recorded in %s (%s)", folder, problem)


def _title(failure: Failure) -> str:
    return title(failure.method, failure.task, failure.model, failure.seed)
