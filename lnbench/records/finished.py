"""Looks for the record of an earlier run."""

import contextlib
from pathlib import Path

from lnbench.config.run import RunConfig
from lnbench.records.failure import read_failure
from lnbench.records.files import RECORD
from lnbench.records.identity import run_dir, run_id
from lnbench.records.record import Record, RecordError, check_files, read_record


def finished_record(config: RunConfig) -> Record | None:
    """The record that an earlier run of a configuration left; None if there is none.

    Raises:
        RecordError: the record, or a file beside it, cannot be trusted.
        NewerError: a newer lnbench did the run.
    """
    folder = run_dir(config)
    record = read_record(folder)
    if record and record.id != run_id(config):
        raise RecordError(f"{folder / RECORD}: belongs to another run, {record.id}")
    if record:
        check_files(record, folder)
    return record


def require_known(folder: Path) -> None:
    """Refuses the folder of a run that a newer lnbench did. Damaged files are not checked here.

    Raises:
        NewerError: a newer lnbench wrote the record or the failure record.
    """
    with contextlib.suppress(RecordError):
        read_record(folder)
    read_failure(folder)
