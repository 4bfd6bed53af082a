"""Reads the answers of a finished run to its test rows, as numbers."""

import json
from pathlib import Path
from typing import Any

from lnbench.core.sealed import file_digest
from lnbench.records.files import PREDICTIONS
from lnbench.records.packed import packed_file, read_packed
from lnbench.records.record import Record, RecordError
from lnbench.tasks.base import Task


def answers_of(record: Record, folder: Path, task: Task) -> dict[str, list[Any]]:
    """`Task.numbers` of a run's test predictions; empty for a run without a test.

    Args:
        record: record of the run.
        folder: folder of the run, or its path in a packed file.
        task: task of the run.

    Raises:
        RecordError: the predictions are missing, or are not what the run wrote.
        NewerError: a newer lnbench wrote the packed file.
    """
    if packed_file(folder):
        return read_packed(folder).numbers
    if "test" not in record.metrics:
        return {}
    path = folder / PREDICTIONS
    try:
        if file_digest(path) != record.files.get(PREDICTIONS):
            raise RecordError(f"{path}: is not what the run wrote; its checksum does not fit the record")
        lines = path.read_text(encoding="utf-8").split("\n")
    except OSError as error:
        raise RecordError(f"{path}: cannot be read ({error.strerror})") from error
    return task.numbers([json.loads(line) for line in lines if line])
