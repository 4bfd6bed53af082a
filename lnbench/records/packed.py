"""Many finished runs in one small file: a record, its curves and its answers in each line of JSON, compressed.

A packed file is read like a folder of runs. Each of its runs has the path that its folder would have, with the file in
the place of the folder of all runs: `results/glue.runs.jsonl.gz/rte/minilm/ln/0123456789ab`.
"""

import csv
import functools
import gzip
import io
import json
import logging
import re
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
ID = re.compile(rb'"id"\s*:\s*"([^"\\]+)"')
"""An id in the text of a line: that of its run, or that of a trial of its search."""

log = logging.getLogger(__name__)


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


def packed_files(runs_dir: Path) -> list[Path]:
    """The packed files in a folder of runs, sorted by name."""
    return [path for path in sorted(runs_dir.glob(f"*{SUFFIX}")) if not path.is_dir()]


def packed_folders(path: Path) -> Collection[Path]:
    """The paths of all runs in a packed file. A file or a line that cannot be read has a path, too."""
    return _opened(path).lines.keys()


def read_packed(folder: Path) -> PackedRun:
    """The run with a path of `packed_folders`.

    Raises:
        RecordError: its line, or the whole file, is damaged.
        NewerError: a newer lnbench wrote it.
    """
    path = folder.parents[LEVELS - 1]
    file = _opened(path)
    line = file.line(folder) or file.lines.get(folder) or _Line(None, "has no such run")
    try:
        if line.problem:
            raise SealError(line.problem)
        return unsealed_as(PackedRun, dict(line.value), path)
    except SealError as error:
        raise RecordError(f"{folder}: {error}") from error


def packed_beside(folder: Path) -> list[Path]:
    """The paths of a run in the packed files of its folder of runs, which may be damaged. Mostly none or one.

    Args:
        folder: folder that the run has, or would have.
    """
    if len(folder.parents) < LEVELS:
        return []
    runs_dir, found = folder.parents[LEVELS - 1], []
    for path in packed_files(runs_dir):
        file, own = _opened(path), path / folder.relative_to(runs_dir)
        if file.problem:
            _warn(f"{path}: {file.problem}; its runs do not count as finished")
        elif file.line(own):
            found.append(own)
    return found


def why_no_model(folder: Path) -> str:
    """The reason why a finished run has no files: a packed file has it. Empty if none has.

    Args:
        folder: folder that the run would have, or its path in a packed file.
    """
    within = packed_file(folder)
    paths = [folder] if within and folder in packed_folders(within) else packed_beside(folder)
    return f"{paths[0]}: is a run in a packed file, which has no model; rerun=true does it again" if paths else ""


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


class _PackedFile:
    """The lines of a packed file. To find one run, only the lines that have its id are parsed."""

    def __init__(self, path: Path) -> None:
        """Reads a packed file, which may be damaged."""
        self._path, self._texts, self.problem = path, list[bytes](), ""
        try:
            if path.exists() and not path.is_file():
                raise OSError("it is not a file")
            with gzip.open(path) as file:
                self._texts = file.read().splitlines()
        except (OSError, EOFError, zlib.error) as error:
            self.problem = f"cannot be unpacked ({error})"

    @functools.cached_property
    def lines(self) -> dict[Path, _Line]:
        """All lines by path. A line that cannot be read or repeats a run has a number as its name."""
        if self.problem:
            return {_nameless(self._path, "file"): _Line(None, self.problem)}
        lines: dict[Path, _Line] = {}
        for number, text in enumerate(self._texts, start=1):
            folder, line = self._parsed(text)
            if folder is None or folder in lines:
                line = _Line(None, line.problem or f"repeats run {folder.name if folder else ''}")
                folder = _nameless(self._path, f"line-{number}")
            lines[folder] = line
        self._texts = []
        return lines

    def line(self, folder: Path) -> _Line | None:
        """The line with a path; None if there is none, or if its id is not in the text as it is."""
        if "lines" in vars(self):
            return self.lines.get(folder)
        parsed = (self._parsed(self._texts[place]) for place in self._places.get(folder.name, ()))
        return next((line for own, line in parsed if own == folder), None)

    @functools.cached_property
    def _places(self) -> dict[str, list[int]]:
        """The places of the lines in which an id occurs."""
        places: dict[str, list[int]] = {}
        for place, text in enumerate(self._texts):
            for name in set(ID.findall(text)):
                places.setdefault(name.decode(errors="replace"), []).append(place)
        return places

    def _parsed(self, text: bytes) -> tuple[Path | None, _Line]:
        """A line and its path; None if it cannot be read."""
        try:
            value = parse_json(text)
            record = value["record"]
            names = [plain_name(str(record[name])) for name in ("task", "model", "method", "id")]
        except (SealError, LookupError, TypeError) as error:
            return None, _Line(None, f"is no line of a packed run ({error})")
        return self._path.joinpath(*names), _Line(value)


_FILES: dict[Path, tuple[tuple[int, int], _PackedFile]] = {}
"""The packed files that were read, as they were last, with their stamps."""


def _opened(path: Path) -> _PackedFile:
    """A packed file as it is now. It is read once, and again when it has changed."""
    stamp = _stamp(path)
    if path not in _FILES or _FILES[path][0] != stamp:
        _FILES[path] = stamp, _PackedFile(path)
    return _FILES[path][1]


@functools.cache
def _warn(message: str) -> None:
    """Logs a warning once."""
    log.warning("%s", message)


def _nameless(path: Path, name: str) -> Path:
    return path.joinpath(*["-"] * (LEVELS - 1), name)
