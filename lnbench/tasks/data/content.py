"""Finds data and identifies its content, so that a run's identity depends on the data and not on its name."""

import importlib.util
from collections.abc import Mapping
from pathlib import Path

from lnbench.core.digests import content_digest, hub_commit
from lnbench.core.errors import DataError
from lnbench.core.names import is_name, plain_name
from lnbench.tasks.data.source import PackageFile, Source

FIELDS = {"train": "path", "validation": "validation_path", "test": "test_path"}
"""By role, the task's field that names its file."""
SUFFIXES = (".jsonl.gz", ".jsonl", ".json.gz", ".json", ".csv", ".tsv", ".parquet")
"""Suffixes of the files read from a local folder. The first file that exists is taken."""
HUB = "hub:"
"""Prefix of the content of a split on the hub."""


def name_of(path: Path) -> str:
    """Name of a task that is read from a file. It is the file's name up to its first full stop."""
    name = path.name.lstrip(".").partition(".")[0]
    return name if is_name(name) else plain_name(name)


def content_of_files(files: Mapping[str, Path]) -> dict[str, str]:
    """The type and the digest of each of the user's own files, by role.

    Raises:
        DataError: a file cannot be read.
    """
    return {role: content_of_file(f"task.{FIELDS[role]}", path) for role, path in files.items()}


def content_of_file(setting: str, path: Path) -> str:
    """The type and the digest of one of the user's own files.

    Args:
        setting: dotted name of the setting that names the file, for the message.
        path: the file.

    Raises:
        DataError: the file cannot be read.
    """
    try:
        return _typed(path)
    except OSError as error:
        hint = "" if path.is_file() else f"; it must be a file, its path absolute or seen from {Path.cwd()}"
        raise DataError(f"{setting} = {str(path)!r}: cannot be read ({error.strerror}){hint}") from error


def content_of_splits(source: Source, splits: Mapping[str, str], data_root: Path | None) -> dict[str, str]:
    """Identifies the content of a source's splits.

    Args:
        source: where the data set is.
        splits: the source's own names of its splits, by role.
        data_root: folder with one subfolder per data set, or None.

    Returns:
        By role, the type and the digest of a file, or a data set on the hub with its commit. Empty if the data is
        missing or the hub's commit is not known. Reading the data then gives the reason.
    """
    contents = {role: _content(source, split, data_root) for role, split in splits.items()}
    return {role: content for role, content in contents.items() if content} if all(contents.values()) else {}


def changed_file(content: Mapping[str, str], files: Mapping[str, Path]) -> Path | None:
    """The first file that no longer has its former content. None if there is none.

    Args:
        content: the former content, by role.
        files: files by role.

    Raises:
        DataError: a file cannot be read.
    """
    found = ((role, path, content_of_file(f"task.{FIELDS[role]}", path)) for role, path in files.items())
    return next((path for role, path, now in found if content.get(role) != now), None)


def local_file(source: Source, split: str, data_root: Path | None) -> Path | None:
    """The file with a split of a source, in `data_root` or else in an installed package.

    Returns:
        None if the split is on the hub, or nowhere.

    Raises:
        DataError: there are several files with the split, and they differ.
        OSError: one of several files cannot be read.
    """
    if data_root is not None and (data_root / source.folder).is_dir():
        paths = [data_root / source.folder / f"{split}{suffix}" for suffix in SUFFIXES]
        found = [path for path in paths if path.is_file()]
        if len(found) > 1 and len(set(map(_typed, found))) > 1:
            names = " and ".join(path.name for path in found)
            raise DataError(f"{data_root / source.folder}: has {names}, which differ; leave one of them for {split!r}")
        return found[0] if found else None
    if source.package is not None:
        folder = package_folder(source.package)
        return folder / source.package.file if folder else None
    return None


def package_folder(package: PackageFile) -> Path | None:
    """The folder of an installed package. None if it is not installed. The package is not imported."""
    spec = importlib.util.find_spec(package.name)
    return Path(next(iter(spec.submodule_search_locations))) if spec and spec.submodule_search_locations else None


def pinned(source: Source | None, content: Mapping[str, str]) -> Source | None:
    """The source, with the commit on the hub that a content names as its revision, if there is one."""
    commit = next((one.rpartition("@")[2] for one in content.values() if one.startswith(HUB)), None)
    if commit is None or source is None or source.hub is None:
        return source
    return source.model_copy(update={"hub": source.hub.model_copy(update={"revision": commit})})


def _content(source: Source, split: str, data_root: Path | None) -> str | None:
    in_root = data_root is not None and (data_root / source.folder).is_dir()
    if in_root or source.package is not None:
        path = local_file(source, split, data_root)
        try:
            return _typed(path) if path else None
        except OSError:
            return None
    hub = source.hub
    if hub is None or (commit := hub_commit(hub.id, "dataset", hub.revision)) is None:
        return None
    return f"{HUB}{hub.id}/{hub.config or 'default'}/{split}@{commit}"


def _typed(path: Path) -> str:
    """A file's digest, with the type by which the file is read."""
    return f"{Path(path.name.removesuffix('.gz')).suffix.lower().removeprefix('.')}:{content_digest(path)}"
