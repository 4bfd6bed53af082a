"""A person's own data files: how they name a task, and how their content enters its identity."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from lnbench.tasks.source import DataError


def hashes(files: Mapping[str, Path]) -> dict[str, str]:
    """SHA-256 of the content of each file, by the same keys.

    Raises:
        DataError: a file is not there, or cannot be read.
    """
    return {role: _hash(path) for role, path in files.items()}


def _hash(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); files are looked for from {Path.cwd()}") from error


def name_of(path: str) -> str:
    """What a task is called that is read from a file: the file's name up to its first full stop."""
    return Path(path).name.lstrip(".").partition(".")[0]
