"""Many finished runs in one small file: a record, its curves and its answers in each line of JSON, compressed.

A packed file is read like a folder of runs. Each of its runs has the path that its folder would have, with the file in
the place of the folder of all runs: `results/glue.runs.jsonl.gz/rte/minilm/ln/0123456789ab`.
"""

import csv
import functools
import gzip
import io
import json
import zlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lnbench.core.atomic_files import write_atomically
from lnbench.core.names import plain_name
from lnbench.core.schema import Schema
from lnbench.core.sealed import NewerError, SealError, parse_json, sealed, unsealed_as
from lnbench.records.files import METRICS
from lnbench.records.record import Record, RecordError

SUFFIX = ".runs.jsonl.gz"
"""Ending of the name of a packed file."""
LEVELS = 4
"""Levels of folders below a folder of runs, which are task, model, method and identity."""
REMEMBERED = 8
"""Number of packed files whose lines are kept in memory."""


class PackedRun(Schema):
    """One line of a packed file. The line also has a checksum, `sha256`, of everything else in it."""

    format: Literal[1] = 1
    record: Record
    history: str
    """Content of the run's metrics.csv."""
    numbers: dict[str, list[Any]]
    """`Task.numbers` of the run's test predictions, in the order of the test rows; empty without a test."""


@dataclass(frozen=True)
class _Line:
    """The JSON of a line of a packed file, or a message on what is wrong with it."""

    value: Any
    problem: str = ""


def write_packed(path: Path, runs: Iterable[PackedRun]) -> None:
    """Writes a packed file, sorted by task, model, method and id. The same runs always give the same bytes.

    Raises:
        OSError: the file cannot be written.
    """
    ordered = sorted(runs, key=lambda run: (run.record.task, run.record.model, run.record.method, run.record.id))
    lines = [json.dumps(sealed(_plain(run)), separators=(",", ":"), ensure_ascii=False) for run in ordered]
    packed = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=packed, mtime=0) as file:
        file.write("".join(f"{line}\n" for line in lines).encode())
    write_atomically(path, packed.getvalue())


def packed_folders(path: Path) -> Collection[Path]:
    """The paths of all runs in a packed file. A file or a line that cannot be read has a path, too."""
    return _lines(path, *_stamp(path)).keys()


def read_packed(folder: Path) -> PackedRun:
    """The run with a path of `packed_folders`.

    Raises:
        RecordError: its line, or the whole file, is damaged.
        NewerError: a newer lnbench wrote it.
    """
    path = packed_file(folder)
    assert path
    line = _lines(path, *_stamp(path)).get(folder) or _Line(None, "has no such run")
    try:
        if line.problem:
            raise SealError(line.problem)
        return unsealed_as(PackedRun, dict(line.value), path)
    except SealError as error:
        raise RecordError(f"{folder}: {error}") from error


def packed_beside(folder: Path) -> Path | None:
    """The path of a run in the packed files of its folder of runs; None if none of them has it.

    Args:
        folder: folder that the run has, or would have.
    """
    runs_dir = folder.parents[LEVELS - 1]
    paths = (file / folder.relative_to(runs_dir) for file in sorted(runs_dir.glob(f"*{SUFFIX}")))
    return next((path for path in paths if path in packed_folders(path.parents[LEVELS - 1])), None)


def packed_file(folder: Path) -> Path | None:
    """The packed file with the run of a path; None for the folder of a run."""
    path = folder.parents[LEVELS - 1] if len(folder.parents) >= LEVELS else folder
    return path if path.name.endswith(SUFFIX) and not path.is_dir() else None


def history_of(folder: Path) -> str:
    """The content of a run's metrics.csv; empty if there is none that can be read."""
    try:
        if packed_file(folder):
            return read_packed(folder).history
        return (folder / METRICS).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError, RecordError, NewerError):
        return ""


def history_rows(history: str) -> list[dict[str, str]]:
    """The rows of a metrics.csv by column, with an empty text where a step has no value.

    Args:
        history: content of the file.
    """
    return list(csv.DictReader(history.splitlines()))


def _plain(run: PackedRun) -> dict[str, Any]:
    return {**dict(run), "record": run.record.model_dump(mode="json")}


def _stamp(path: Path) -> tuple[int, int]:
    """Values that change whenever the file changes; zeros if there is no file."""
    try:
        about = path.stat()
    except OSError:
        return 0, 0
    return about.st_size, about.st_mtime_ns


@functools.lru_cache(maxsize=REMEMBERED)
def _lines(path: Path, size: int, changed: int) -> dict[Path, _Line]:
    """The lines of a packed file by path. A line that cannot be read or repeats a run has a number as its name."""
    try:
        with gzip.open(path) as file:
            texts = file.read().splitlines()
    except (OSError, EOFError, zlib.error) as error:
        return {_nameless(path, "file"): _Line(None, f"cannot be unpacked ({error})")}
    lines: dict[Path, _Line] = {}
    for number, text in enumerate(texts, start=1):
        try:
            value = parse_json(text)
            record = value["record"]
            names = [plain_name(str(record[name])) for name in ("task", "model", "method", "id")]
        except (SealError, LookupError, TypeError) as error:
            lines[_nameless(path, f"line-{number}")] = _Line(None, f"is no line of a packed run ({error})")
            continue
        folder = path.joinpath(*names)
        if folder in lines:
            lines[_nameless(path, f"line-{number}")] = _Line(None, f"repeats run {names[-1]}")
        else:
            lines[folder] = _Line(value)
    return lines


def _nameless(path: Path, name: str) -> Path:
    return path.joinpath(*["-"] * (LEVELS - 1), name)
