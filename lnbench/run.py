"""One run: done if it was not done before, and what a person is told of it."""

import errno
import logging
from pathlib import Path

from lnbench.config import RunConfig
from lnbench.interruption import RunInterrupted
from lnbench.records.files import RECORD, RESUME
from lnbench.records.identity import run_dir, run_id
from lnbench.records.record import Record, RecordError, read_record
from lnbench.report import summary
from lnbench.schema import ConfigError

DISK_PROBLEMS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)

log = logging.getLogger(__name__)


def run(config: RunConfig) -> Record:
    """Tunes a model, tests its best checkpoint, and leaves a record; or finds that this was done before.

    Returns:
        The record, new or old.

    Raises:
        ConfigError: this machine has not the device or precision asked for, the folder cannot be
            written, or the model cannot be had.
        DataError: the data cannot be had.
        RunInterrupted: a signal came; the same command goes on from where it stopped.
    """
    folder = run_dir(config)
    if not config.rerun and (record := _finished(config, folder)):
        summary.show_skipped(record, folder)
        return record
    from lnbench.execute import execute

    try:
        record = execute(config, folder)
    except (RunInterrupted, KeyboardInterrupt):
        summary.show_interrupted(folder, saved=(folder / RESUME).is_file())
        raise
    except OSError as error:
        if error.errno not in DISK_PROBLEMS:
            raise
        raise ConfigError(
            f"runs_dir = {str(config.runs_dir)!r}: cannot be written ({error.strerror}); make room there and the same "
            f"command goes on from the last saved state, or choose another runs_dir=FOLDER"
        ) from error
    summary.show_finished(record, folder)
    return record


def _finished(config: RunConfig, folder: Path) -> Record | None:
    """The record of an earlier run, if it can be trusted."""
    try:
        record = read_record(folder)
        if record and record.id != run_id(config):
            raise RecordError(f"{folder / RECORD}: belongs to another run, {record.id}")
    except RecordError as error:
        log.warning("%s; running again", error)
        return None
    return record
