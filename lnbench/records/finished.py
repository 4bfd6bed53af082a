"""Looks for the record of an earlier run, in its folder and in the packed files of the folder of runs."""

import contextlib
from pathlib import Path

from lnbench.records.failure import read_failure
from lnbench.records.files import RECORD
from lnbench.records.identity import Address
from lnbench.records.packed import packed_beside, read_packed
from lnbench.records.record import Record, RecordError, check_files, read_record


def finished_record(address: Address) -> Record | None:
    """The record that an earlier process left for a run, or else that of a packed file; None if there is none.

    Raises:
        RecordError: the record, or a file beside it, cannot be trusted.
        NewerError: a newer lnbench did the run.
    """
    record = read_record(address.folder)
    if record and record.id != address.id:
        raise RecordError(f"{address.folder / RECORD}: belongs to another run, {record.id}")
    if record:
        check_files(record, address.folder)
    return record or published_record(address)


def published_record(address: Address) -> Record | None:
    """The record of a run in the packed files of the folder of runs. None if it is not there, or damaged there.

    Raises:
        NewerError: a newer lnbench packed the run.
    """
    folder = packed_beside(address.folder)
    with contextlib.suppress(RecordError):
        return read_packed(folder).record if folder else None
    return None


def require_known(folder: Path) -> None:
    """Refuses the folder of a run that a newer lnbench did. Damaged files are not checked here.

    Raises:
        NewerError: a newer lnbench wrote the record or the failure record.
    """
    with contextlib.suppress(RecordError):
        read_record(folder)
    read_failure(folder)
