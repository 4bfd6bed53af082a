"""Sends files between two machines that share no disk."""

from collections.abc import Mapping
from pathlib import Path

from lnbench.core.atomic_files import write_atomically
from lnbench.records.files import RECORD
from lnbench.records.lock import LOCKS

Parcel = Mapping[str, bytes]
"""Contents of files, by their paths relative to the folder of all runs."""


def pack(folder: Path, runs_dir: Path) -> Parcel:
    """All files of a folder below `runs_dir`, except locks."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and LOCKS not in path.parts]
    return {path.relative_to(runs_dir).as_posix(): path.read_bytes() for path in files}


def unpack(parcel: Parcel, runs_dir: Path) -> None:
    """Writes files below `runs_dir`, each atomically. Records come last, because they mark a run as finished.

    Raises:
        OSError: a file cannot be written.
    """
    for name in sorted(parcel, key=lambda name: Path(name).name == RECORD):
        write_atomically(runs_dir / name, parcel[name])
