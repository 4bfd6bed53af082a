"""JSON files that carry their own checksum, so that a flipped bit is noticed, and the number of their format."""

import hashlib
import json
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from lnbench.core.atomic_files import write_atomically
from lnbench.core.schema import ConfigError, Schema

SEAL = "sha256"
FORMAT = "format"
"""Field of a schema of such files whose default is the newest format that this lnbench knows."""
DEEPEST = 100
"""Levels of lists and objects in one another; what we write has about ten."""
S = TypeVar("S", bound=Schema)


class SealError(ValueError):
    """A file whose content is not what was written."""


class NewerError(ConfigError):
    """A file of another lnbench, as a rule a newer one: this one can neither read it nor may it overwrite it."""

    def __init__(self, path: Path, why: str, version: object = None) -> None:
        """
        Args:
            path: of the file.
            why: what is not known here.
            version: of the lnbench that wrote it, as far as it says.
        """
        from lnbench import __version__

        known = isinstance(version, str) and version != __version__
        writer = f"lnbench {version}" if known else "a newer lnbench"
        super().__init__(
            f"{path}: was written by {writer}, and lnbench {__version__} does not know {why}; the file is kept: use "
            f"{writer}, delete the file, or choose another runs_dir=FOLDER"
        )


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
    return _unsealed(read_json(path))


def read_as(schema: type[S], path: Path) -> S:
    """What `write_sealed` wrote of a schema that has a `format`.

    A file is damaged if it is not whole: it is no JSON, or its checksum does not fit. What is whole and cannot be read
    here is another lnbench's, and so is what says to be of an unknown format, whose checksum may be made otherwise.

    Raises:
        OSError: the file cannot be read.
        SealError: the file is damaged.
        NewerError: it is of another lnbench.
    """
    raw = read_json(path)
    if isinstance(raw, dict):
        require_format(path, raw, schema.model_fields[FORMAT].default)
    content = _unsealed(raw)
    try:
        return schema.model_validate(content)
    except ValidationError as error:
        places = dict.fromkeys(".".join(map(str, problem["loc"])) for problem in error.errors())
        raise NewerError(path, f"its {', '.join(places)}", _version(content)) from error


def require_format(path: Path, content: dict[str, Any], newest: int) -> None:
    """Refuses what says that it is of a format that is unknown here.

    Args:
        path: of the file, for the message.
        content: of the file; without a `format` it is of the first one.
        newest: that this lnbench knows.

    Raises:
        NewerError: it is.
    """
    own = content.get(FORMAT, 1)
    if own not in range(1, newest + 1):
        raise NewerError(path, f"its format {own!r:.40}", _version(content))


def read_json(path: Path) -> Any:
    """The JSON value in a file that anyone may have written.

    Raises:
        OSError: the file cannot be read.
        SealError: it is no such file.
    """
    if path.exists() and not path.is_file():
        raise SealError("is not a file")
    return parse_json(path.read_bytes())


def parse_json(text: str | bytes) -> Any:
    """A JSON value that anyone may have written, and that can be shown, compared and written again.

    Raises:
        SealError: the text is no JSON, nests too deeply, or has numbers or characters that nothing can hold.
    """
    try:
        value = json.loads(text, parse_int=_integer)
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise SealError(f"not JSON: {error}") from None
    if _is_deep(value):
        raise SealError(f"not JSON of lnbench: more than {DEEPEST} levels")
    return value


def file_digest(path: Path) -> str:
    """SHA-256 of a whole file.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _unsealed(content: Any) -> dict[str, Any]:
    if not isinstance(content, dict) or SEAL not in content:
        raise SealError("the checksum is missing")
    if content.pop(SEAL) != _digest(content):
        raise SealError("the checksum does not fit")
    return content


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _integer(digits: str) -> int:
    value = int(digits)
    if not -(2**63) <= value < 2**63:
        raise ValueError("an integer has more than 64 bits")
    return value


def _is_deep(value: Any) -> bool:
    layer = [value]
    for _ in range(DEEPEST):
        nodes = [node.values() if isinstance(node, dict) else node for node in layer if isinstance(node, dict | list)]
        layer = [child for node in nodes for child in node]
    return bool(layer)


def _version(content: dict[str, Any]) -> object:
    versions = content.get("versions")
    return versions.get("lnbench") if isinstance(versions, dict) else None
