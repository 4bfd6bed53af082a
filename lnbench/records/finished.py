"""Looks for the record of an earlier run."""

import contextlib
from pathlib import Path

from lnbench.records.failure import read_failure
from lnbench.records.files import RECORD
from lnbench.records.identity import Address
from lnbench.records.record import Record, RecordError, check_files, read_record


def finished_record(address: Address) -> Record | None:
    """The record that an earlier process left for a run; None if there is none.

    Raises:
        RecordError: the record, or a file beside it, cannot be trusted.
        NewerError: a newer lnbench did the run.
    """
    record = read_record(address.folder)
    if record and record.id != address.id:
        raise RecordError(f"{address.folder / RECORD}: belongs to another run, {record.id}")
    if record:
        check_files(record, address.folder)
    return record


def require_known(folder: Path) -> None:
    """Refuses the folder of a run that a newer lnbench did. Damaged files are not checked here.

    Raises:
        NewerError: a newer lnbench wrote the record or the failure record.
    """
    with contextlib.suppress(RecordError):
        read_record(folder)
    read_failure(folder)
