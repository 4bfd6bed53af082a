"""Reads one data file, of a type that its name tells, into a data frame."""

from __future__ import annotations

import csv
import gzip
import io
import json
import warnings
from pathlib import Path
from typing import Any

import pandas as pd

from lnbench.tasks.content import SUFFIXES
from lnbench.tasks.source import DataError

COLUMN_SUFFIXES = (".conll", ".iob", ".iob2", ".bio", ".txt")
"""How files in CoNLL's format are named."""
DOCUMENT_START = "-DOCSTART-"


def read_file(path: Path, encoding: str = "utf-8") -> pd.DataFrame:
    """Reads one file, turning no text into numbers, dates or missing values.

    JSON is one object a line, or one list of objects. CSV follows its quotes; TSV has none. CoNLL's
    format has a word a line, its tag in the last column, and an empty line between sentences; it
    gives the columns `tokens` and `tags`. All but Parquet may be compressed (`.gz`).

    Raises:
        DataError: the file cannot be read as its type, or has none of those types.
    """
    try:
        suffix = Path(path.name.removesuffix(".gz")).suffix.lower()
        if suffix == ".parquet":
            return pd.read_parquet(path)
        if suffix in (".csv", ".tsv"):
            return _read_csv(_text(path, encoding), tabs=suffix == ".tsv")
        if suffix in (".json", ".jsonl"):
            return _read_json(_text(path, encoding))
        if suffix in COLUMN_SUFFIXES:
            return _read_columns(_text(path, encoding))
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: byte {error.start + 1} (0x{error.object[error.start]:02x}) is not {encoding}; state the file's "
            f"encoding in task.encoding, such as latin-1, cp1252 or utf-16"
        ) from error
    except (OSError, ValueError, EOFError, LookupError, pd.errors.ParserWarning) as error:
        raise DataError(f"{path}: cannot be read ({error})") from error
    raise DataError(f"{path}: must end in one of {', '.join((*SUFFIXES, *COLUMN_SUFFIXES))}")


def _text(path: Path, encoding: str) -> str:
    """The file's text, without a byte order mark."""
    content = path.read_bytes()
    return (gzip.decompress(content) if path.suffix == ".gz" else content).decode(encoding).removeprefix("\ufeff")


def _read_csv(text: str, *, tabs: bool) -> pd.DataFrame:
    dialect: dict[str, Any] = {"sep": "\t", "quoting": csv.QUOTE_NONE} if tabs else {}
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)  # of rows with more fields than the header
        return pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False, index_col=False, **dialect)


def _read_json(text: str) -> pd.DataFrame:
    rows = json.loads(text) if text.lstrip().startswith("[") else _json_lines(text)
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise ValueError(f"row {number} is not an object")
    return pd.DataFrame(rows)


def _json_lines(text: str) -> list[Any]:
    rows = []
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                rows.append(json.loads(line))
            except ValueError as error:
                raise ValueError(f"line {number}: {error}") from error
    return rows


def _read_columns(text: str) -> pd.DataFrame:
    """The first column as `tokens` and the last as `tags`, a list of each for every sentence."""
    sentences: list[list[tuple[str, str]]] = [[]]
    for number, line in enumerate(text.split("\n"), 1):
        fields = line.strip().split("\t" if "\t" in line else None)
        if not line.strip():
            sentences.append([])
        elif len(fields) < 2:
            raise ValueError(f"line {number}: {line.strip()!r} has one column; there must be a word and its tag")
        elif fields[0] != DOCUMENT_START:
            sentences[-1].append((fields[0].strip(), fields[-1].strip()))
    columns = [tuple(map(list, zip(*sentence, strict=True))) for sentence in sentences if sentence]
    return pd.DataFrame(columns, columns=["tokens", "tags"])
