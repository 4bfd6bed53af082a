"""A person's own data files: how they name a task, and how their content enters its identity."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from lnbench.tasks.source import DataError

FIELDS = {"train": "path", "validation": "validation_path", "test": "test_path"}
"""Role to the task's field that names its file."""


def hashes(files: Mapping[str, Path]) -> dict[str, str]:
    """SHA-256 of the content of each file, by role.

    Raises:
        DataError: a file is not there, or cannot be read.
    """
    return {role: _hash(role, path) for role, path in files.items()}


def _hash(role: str, path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(
            f"task.{FIELDS[role]} = {str(path)!r}: cannot be read ({error.strerror}); it must be a file, its path "
            f"absolute or seen from {Path.cwd()}"
        ) from error


def name_of(path: Path) -> str:
    """What a task is called that is read from a file: the file's name up to its first full stop."""
    return path.name.lstrip(".").partition(".")[0]
