"""Makes the line of a packed file from the folder of a finished run."""

from pathlib import Path

from lnbench.config.run import validate_saved
from lnbench.records.answers import answers_of
from lnbench.records.files import METRICS
from lnbench.records.identity import PROTOCOL, id_of_saved
from lnbench.records.packed import PackedRun, packed_file, read_packed
from lnbench.records.public import public
from lnbench.records.record import Record, RecordError, check_files

NAMES = {"model": "model", "task": "task", "retention": "general text"}
"""By group of settings that has a content, what it is called."""


def pack_run(record: Record, folder: Path) -> PackedRun:
    """The part of a finished run that a packed file keeps. The run's files are checked first.

    Args:
        record: record of the run.
        folder: folder of the run, or its path in a packed file.

    Raises:
        RecordError: a file is damaged or missing, or the record is of another protocol, or is not of its configuration.
        ConfigError: the configuration cannot be understood, or names a place of this machine.
    """
    check_identity(record)
    if packed_file(folder):
        return read_packed(folder)
    check_files(record, folder)
    return PackedRun(
        record=public(record),
        history=(folder / METRICS).read_bytes().decode() if METRICS in record.files else "",
        numbers=answers_of(record, folder, validate_saved(record.config).task),
    )


def check_identity(record: Record) -> None:
    """Checks that a record belongs to the run of its configuration, and that others can identify its data and model.

    Raises:
        RecordError: it is not, or the record is of another protocol.
        ConfigError: the configuration cannot be understood here.
    """
    if record.protocol != PROTOCOL:
        raise RecordError(f"run {record.id}: is of protocol {record.protocol}; this lnbench does protocol {PROTOCOL}")
    found = id_of_saved(record.config)
    if found != record.id:
        raise RecordError(f"run {record.id}: has the configuration of run {found}")
    for group in NAMES:
        if group in record.config and not record.config[group].get("content"):
            raise RecordError(
                f"run {record.id}: {group}.content is empty, so nobody can know which {NAMES[group]} it used; do it "
                f"again where its files or the hub can be reached"
            )
