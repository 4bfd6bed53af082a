"""JSON files that carry their own checksum, so that a flipped bit is noticed."""

import hashlib
import json
from pathlib import Path
from typing import Any

from lnbench.fsio import write_atomically

SEAL = "sha256"


class SealError(ValueError):
    """A file whose content is not what was written."""


def write_sealed(path: Path, content: dict[str, Any]) -> None:
    """Writes `content` (JSON values; NaN and infinities are allowed), with its checksum under `sha256`, atomically.

    Raises:
        OSError: the file cannot be written.
    """
    write_atomically(path, json.dumps({**content, SEAL: _digest(content)}, indent=2) + "\n")


def read_sealed(path: Path) -> dict[str, Any]:
    """What `write_sealed` wrote, without the checksum.

    Raises:
        OSError: the file cannot be read.
        SealError: the file is damaged.
    """
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise SealError(f"not JSON: {error}") from None
    if not isinstance(content, dict) or SEAL not in content:
        raise SealError("the checksum is missing")
    if content.pop(SEAL) != _digest(content):
        raise SealError("the checksum does not fit")
    return content


def file_digest(path: Path) -> str:
    """SHA-256 of a whole file.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
