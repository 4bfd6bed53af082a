"""Reads one data file into a data frame. The file's name tells its type."""

from __future__ import annotations

import csv
import gzip
import io
import json
import logging
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lnbench.core.errors import DataError
from lnbench.tasks.data import conll
from lnbench.tasks.data.content import SUFFIXES
from lnbench.tasks.data.large import ROWS, UnlikeError, on_disk

log = logging.getLogger(__name__)

LARGE = 2**23
"""Bytes from which a file is read in pieces."""
_SEPARATORS = ",;\t|"
_QUOTED = re.compile(r'(?:^|\t)("(?:[^"\t\n]|"")*""(?:[^"\t\n]|"")*")(?=\t|\r?$)', re.MULTILINE)
"""A field in quotes that contains doubled quotes."""

_ERRORS = (OSError, ValueError, EOFError, LookupError, pd.errors.ParserWarning)
"""What is raised if a file cannot be read."""


def read_file(path: Path, encoding: str = "utf-8", setting: str = "task.encoding") -> pd.DataFrame:
    """Reads one file. No text becomes a number, a date or a missing value.

    JSON is one object per line, or one list of objects. Fields may be in quotes in CSV, but not in TSV. CoNLL's format
    has one word per line, with its tag in the last column, and an empty line between sentences. It gives the columns
    `tokens` and `tags`. An index that pandas stored in a Parquet file is a column like any other. All but Parquet may
    be compressed (`.gz`).

    Large files of CSV, TSV, Parquet or objects line by line are read in pieces, and their texts are not in memory. If
    the types of a column differ between pieces, or something is wrong, the file is read as a whole.

    Args:
        path: the file.
        encoding: encoding of its text.
        setting: setting that states the encoding, for the message.

    Raises:
        DataError: the file cannot be read as its type, or has none of those types.
    """
    with _explained_errors(path, encoding, setting):
        suffix = Path(path.name.removesuffix(".gz")).suffix.lower()
        if path.stat().st_size >= LARGE and (frame := _in_pieces(path, suffix, encoding)) is not None:
            return frame
        if suffix == ".parquet":
            return _read_parquet(path)
        if suffix in (".csv", ".tsv"):
            return _read_csv(_text(path, encoding), tabs=suffix == ".tsv")
        if suffix in (".json", ".jsonl"):
            return _read_json(_text(path, encoding))
        if suffix in conll.SUFFIXES:
            return pd.DataFrame(conll.sentences_of(_text(path, encoding)), columns=["tokens", "tags"])
    raise DataError(f"{path}: must end in one of {', '.join((*SUFFIXES, *conll.SUFFIXES))}")


def read_text(path: Path, encoding: str, setting: str) -> str:
    """The text of a file, which may be compressed (`.gz`).

    Args:
        path: the file.
        encoding: encoding of its text.
        setting: setting that states the encoding, for the message.

    Raises:
        DataError: the file cannot be read, or is not in this encoding.
    """
    with _explained_errors(path, encoding, setting):
        return _text(path, encoding)


@contextmanager
def _explained_errors(path: Path, encoding: str, setting: str) -> Iterator[None]:
    """Turns what goes wrong while a file is read into a `DataError`."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: byte {error.start + 1} (0x{error.object[error.start]:02x}) is not {encoding}; state the file's "
            f"encoding in {setting}, such as latin-1, cp1252 or utf-16"
        ) from error
    except _ERRORS as error:
        raise DataError(f"{path}: cannot be read ({error})") from error


def _text(path: Path, encoding: str) -> str:
    """The file's text, without a byte order mark."""
    content = path.read_bytes()
    return (gzip.decompress(content) if path.suffix == ".gz" else content).decode(encoding).removeprefix("\ufeff")


def _in_pieces(path: Path, suffix: str, encoding: str) -> pd.DataFrame | None:
    """The rows of a file, read in pieces. None if it must be read as a whole, also to explain what is wrong with it."""
    try:
        if suffix == ".parquet":
            return on_disk(_parquet_pieces(path))
        if suffix in (".csv", ".tsv"):
            return on_disk(_csv_pieces(path, encoding, tabs=suffix == ".tsv"))
        if suffix in (".json", ".jsonl"):
            with _opened(path, encoding) as text:
                return on_disk(_json_pieces(text))
    except _ERRORS as error:
        log.debug("%s is read as a whole (%s)", path, error)
    return None


@contextmanager
def _opened(path: Path, encoding: str) -> Iterator[io.TextIOWrapper]:
    """The file's text, behind a byte order mark. Lines end with nothing but a line feed."""
    opened: Callable[..., Any] = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rb") as content, io.TextIOWrapper(content, encoding, newline="\n") as text:
        if text.read(1) != "\ufeff":
            text.seek(0)
        yield text


def _read_parquet(path: Path) -> pd.DataFrame:
    frame = pd.read_parquet(path, engine="pyarrow", to_pandas_kwargs={"ignore_metadata": True})
    _check_once("column", frame.columns)
    return frame


def _parquet_pieces(path: Path) -> Iterator[pd.DataFrame]:
    from pyarrow.parquet import ParquetFile

    with ParquetFile(path, buffer_size=2**20, pre_buffer=False) as file:  # else it holds a whole group of rows
        _check_once("column", file.schema_arrow.names)
        for batch in file.iter_batches(ROWS, use_threads=False):
            yield batch.to_pandas(ignore_metadata=True, use_threads=False)


def _csv_options(*, tabs: bool) -> dict[str, Any]:
    dialect: dict[str, Any] = {"sep": "\t", "quoting": csv.QUOTE_NONE} if tabs else {}
    return {**dialect, "dtype": str, "keep_default_na": False, "index_col": False}


def _read_csv(text: str, *, tabs: bool) -> pd.DataFrame:
    _check_separator(text.partition("\n")[0], "\t" if tabs else ",")
    if tabs:
        _check_unquoted(text)
    options = _csv_options(tabs=tabs)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # for rows with more fields than the header
            frame: pd.DataFrame = pd.read_csv(io.BytesIO(text.encode()), **options)  # a StringIO is 4 times as large
    except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
        raise ValueError(_explained(error, text, tabs=tabs)) from error
    _check_header(io.StringIO(text), options)
    return frame


def _csv_pieces(path: Path, encoding: str, *, tabs: bool) -> Iterator[pd.DataFrame]:
    options = _csv_options(tabs=tabs)
    with _opened(path, encoding) as text:
        header = text.readline().removesuffix("\n")
        _check_separator(header, "\t" if tabs else ",")
        if tabs and ('"' in header or any(_is_doubtful(some, header.count("\t")) for some in _texts(text))):
            raise UnlikeError("its quotes must be seen as a whole")
    with _opened(path, encoding) as text:
        _check_header(text, options)
    with _opened(path, encoding) as text, warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        yield from pd.read_csv(text, chunksize=ROWS, **options)


def _texts(lines: Iterator[str]) -> Iterator[str]:
    """The lines, `ROWS` of them in one text."""
    while text := "".join(islice(lines, ROWS)):
        yield text


def _check_header(text: io.TextIOBase, options: dict[str, Any]) -> None:
    names = pd.read_csv(text, header=None, nrows=1, **options).iloc[0]  # pandas changes them in a header
    _check_once("column", filter(None, names))


def _explained(error: Exception, text: str, *, tabs: bool) -> str:
    """A message that says which row of a CSV or TSV file cannot be read, and why."""
    dialect: dict[str, Any] = {"delimiter": "\t", "quoting": csv.QUOTE_NONE} if tabs else {}
    reader = csv.reader(io.StringIO(text, newline=""), **dialect)
    names: list[str] = []
    row, line, where = -1, 1, ""
    try:
        for fields in reader:
            if fields:
                row, where, names = row + 1, f"row {row + 1}, in line {line}", names or fields
            if len(fields) > len(names):
                remedy = "no field may have a tab in it" if tabs else "a field with a comma in it must be in quotes"
                return (
                    f"{where}, has {len(fields)} fields, and the header has {len(names)}: {', '.join(names)}; {remedy}"
                )
            line = reader.line_num + 1
    except csv.Error:  # a field too long for this reader
        return str(error)
    if "inside string" in str(error):
        return f"{where}, has a field that begins with a quote and does not end with one; close it"
    return str(error)


def _check_once(what: str, names: Iterable[Any]) -> None:
    """Refuses names of columns or keys if one of them is repeated."""
    for name, count in Counter(names).items():
        if count > 1:
            raise ValueError(f"it has the {what} {name!r} {count} times; each must have a name of its own")


def _check_separator(header: str, separator: str) -> None:
    """Refuses a file if its first line has a separator of another file type and none of its own."""
    other = next((mark for mark in _SEPARATORS if mark in header), separator)
    if separator not in header and other != separator:
        raise ValueError(
            f"its columns are separated by {other!r}, where a .csv file has ',' and a .tsv file a tab; write it as one "
            f"of these, or as .jsonl"
        )


def _check_unquoted(text: str) -> None:
    """Refuses a TSV file that seems to have fields in quotes, because its quotes would become part of the text."""
    remedy = (
        "a .tsv file has no quotes, so that each one is a character of its text; write it as .csv, where fields may be "
        "in quotes, or as .jsonl"
    )
    names = text.partition("\n")[0].strip("\r").split("\t")
    if quoted := [name for name in names if len(name) > 1 and name[0] == name[-1] == '"']:
        raise ValueError(f"its header has names in quotes, such as {quoted[0]}; {remedy}")
    if found := _QUOTED.search(text):
        raise ValueError(
            f"line {text.count(chr(10), 0, found.start(1)) + 1}: {found[1]!r} seems to be in quotes; {remedy}"
        )
    tabs = text.partition("\n")[0].count("\t")
    if _is_uneven(text, tabs):
        try:
            rows = [len(row) for row in csv.reader(io.StringIO(text, newline=""), delimiter="\t", strict=True) if row]
        except csv.Error:
            return
        if set(rows) == {tabs + 1}:
            raise ValueError(f"it has tabs or line breaks in fields in quotes; {remedy}")


def _is_uneven(text: str, tabs: int) -> bool:
    return any(line.strip() and line.count("\t") != tabs for line in text.split("\n"))


def _is_doubtful(text: str, tabs: int) -> bool:
    """Whether lines of a TSV file might have fields in quotes."""
    return _QUOTED.search(text) is not None or _is_uneven(text, tabs)


def _read_json(text: str) -> pd.DataFrame:
    if text.lstrip().startswith("["):
        return pd.DataFrame([_row(row, number) for number, row in enumerate(_JSON.decode(text), 1)])
    return _frame_of(_json_lines(_lines(text)), {})


def _json_pieces(text: Iterable[str]) -> Iterator[pd.DataFrame]:
    places: dict[str, int] = {}
    rows = _json_lines(text)
    while len(frame := _frame_of(islice(rows, ROWS), places)):
        yield frame


def _frame_of(rows: Iterable[dict[str, Any]], places: dict[str, int]) -> pd.DataFrame:
    """The same as `pd.DataFrame(list(rows))`, in less memory: rows are kept as tuples.

    Args:
        rows: the rows.
        places: place of each column. New columns are added.
    """
    kept: list[tuple[Any, ...]] = []
    for row in rows:
        for name in row:
            places.setdefault(name, len(places))
        kept.append(tuple(row.get(name, np.nan) for name in places))
    if kept and len(kept[0]) < len(places):  # a column was first seen in a later row
        kept = [row + (np.nan,) * (len(places) - len(row)) for row in kept]
    return pd.DataFrame(kept, columns=list(places)) if kept else pd.DataFrame()


def _row(row: Any, number: int) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise ValueError(f"row {number} is not an object")
    return row


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object. Refuses repeated keys."""
    found = dict(pairs)
    if len(found) < len(pairs):
        _check_once("key", (key for key, _ in pairs))
    return found


_JSON = json.JSONDecoder(object_pairs_hook=_object)


def _json_lines(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    rows = 0
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                row = _JSON.decode(line)
            except ValueError as error:
                raise ValueError(f"line {number}: {error}") from error
            rows += 1
            yield _row(row, rows)


def _lines(text: str) -> Iterator[str]:
    """The lines of a text, with their line breaks."""
    start = 0
    while start < len(text):
        end = text.find("\n", start) + 1 or len(text)
        yield text[start:end]
        start = end
