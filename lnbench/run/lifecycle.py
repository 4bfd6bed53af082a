"""Does a run unless it was done before, and tells the user about it."""

import contextlib
import logging
from pathlib import Path

from lnbench.config.run import RunConfig
from lnbench.core.errors import DataError
from lnbench.core.interruption import RunInterrupted
from lnbench.core.schema import ConfigError
from lnbench.records.failure import Failure, InputError, RunFailed, cause_of, describe, read_failure, write_failure
from lnbench.records.files import CONFIG, FAILURE, RESUME, remove_checkpoints
from lnbench.records.finished import finished_record, require_known
from lnbench.records.identity import run_dir, run_id
from lnbench.records.lock import hold
from lnbench.records.record import Record, RecordError, SearchResult
from lnbench.records.title import title
from lnbench.run import messages
from lnbench.run.afterwards import spared
from lnbench.run.folder import DISK_PROBLEMS, cannot_write, check_folder, set_aside
from lnbench.run.search import search

log = logging.getLogger(__name__)


def run(config: RunConfig) -> Record:
    """Tunes a model, tests its best checkpoint, and leaves a record; or finds the record of an earlier run.

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
    folder = run_dir(config)
    with contextlib.suppress(RecordError):
        if record := _done_before(config, folder):
            return record
    try:
        with hold(config.runs_dir, run_id(config)):
            return _done_meanwhile(config, folder) or _do(config, folder)
    except OSError as error:
        raise ConfigError(cannot_write(config, error)) from error


def _done_before(config: RunConfig, folder: Path) -> Record | None:
    """The record of an earlier run.

    Raises:
        RecordError: the record cannot be trusted.
        RunFailed: the run failed for a reason of its own, and the configuration does not ask for another try.
    """
    require_known(folder)
    if config.rerun:
        return None
    if record := finished_record(config):
        messages.show_skipped(record, config.task, folder)
        return record
    failure = read_failure(folder)
    if failure and failure.lasts and not config.retry_failed:
        message = f"{failure.message}; at {failure.failed_at}, retry_failed=true tries it again, see {folder / FAILURE}"
        raise RunFailed(_title(failure), failure.cause, message)
    return None


def _done_meanwhile(config: RunConfig, folder: Path) -> Record | None:
    """The record that another process wrote between the first check and the lock.

    A run whose record or files are damaged makes way for another try. They may hold what is computed nowhere else.
    """
    try:
        return _done_before(config, folder)
    except RecordError as error:
        check_folder(folder)
        kept = set_aside(folder, config.runs_dir)
        log.warning("%s; its folder is kept as %s; running again", error, kept)
        return None


def _do(config: RunConfig, folder: Path) -> Record:
    """Does the run, after the trials that its search needs. Any error in it is recorded."""
    try:
        check_folder(folder)
        config, found = search(config, run) if config.search else (config, None)
        record = _execute(config, folder, found)
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


def _execute(config: RunConfig, folder: Path, found: SearchResult | None) -> Record:
    from lnbench.run.execute import execute
    from lnbench.run.sharded import execute_sharded
    from lnbench.training.device import count_devices

    work = execute if count_devices(config.trainer) == 1 else execute_sharded
    return work(config, folder, found)


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
