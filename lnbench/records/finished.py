"""Looks for the record of an earlier run, in its folder and in the packed files of the folder of runs."""

import contextlib
import logging
from pathlib import Path
from typing import NamedTuple

from lnbench.core.sealed import NewerError
from lnbench.records.failure import read_failure
from lnbench.records.files import RECORD
from lnbench.records.identity import Address
from lnbench.records.packed import packed_beside, read_packed
from lnbench.records.record import Record, RecordError, check_files, read_record

log = logging.getLogger(__name__)


class Finished(NamedTuple):
    """A finished run."""

    record: Record
    folder: Path
    """Folder of the run, or its path in a packed file."""


def finished_run(address: Address) -> Finished | None:
    """The run as an earlier process left it, or else as a packed file has it; None if there is neither.

    Raises:
        RecordError: the record, or a file beside it, cannot be trusted.
        NewerError: a newer lnbench did the run.
    """
    record = read_record(address.folder)
    if record and record.id != address.id:
        raise RecordError(f"{address.folder / RECORD}: belongs to another run, {record.id}")
    if record:
        check_files(record, address.folder)
    return Finished(record, address.folder) if record else published_run(address)


def finished_record(address: Address) -> Record | None:
    """The record of `finished_run`, which raises the same errors."""
    return found.record if (found := finished_run(address)) else None


def published_run(address: Address) -> Finished | None:
    """The run in the packed files of the folder of runs; the first that can be read, by the names of the files.

    None if it is not there, or damaged there.

    Raises:
        NewerError: a newer lnbench packed the run, and no other file has it.
    """
    newer: NewerError | None = None
    for path in packed_beside(address.folder):
        try:
            return Finished(read_packed(path).record, path)
        except RecordError as error:
            log.debug("%s", error)
        except NewerError as error:
            newer = newer or error
    if newer:
        raise newer
    return None


def require_known(folder: Path) -> None:
    """Refuses the folder of a run that a newer lnbench did. Damaged files are not checked here.

    Raises:
        NewerError: a newer lnbench wrote the record or the failure record.
    """
    with contextlib.suppress(RecordError):
        read_record(folder)
    read_failure(folder)
