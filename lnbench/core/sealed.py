"""JSON files with a checksum, which reveals damage, and with the number of their format."""

import contextlib
import hashlib
import json
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from lnbench.core.atomic_files import write_atomically
from lnbench.core.schema import ConfigError, Schema

SEAL = "sha256"
LAST = f',\n  "{SEAL}": '.encode()
"""What precedes the checksum in a file of `write_sealed`, which has nothing else after it."""
FORMAT = "format"
"""Field in the schema of such a file. Its default is the newest format that this version of lnbench knows."""
DEEPEST = 100
"""Most levels of nested lists and objects. The files of lnbench have about ten."""
S = TypeVar("S", bound=Schema)


class SealError(ValueError):
    """A file is damaged, or is not one that lnbench writes."""


class NewerError(ConfigError):
    """A file of another, usually newer, version of lnbench. This version can neither read nor overwrite it."""

    def __init__(self, path: Path, why: str, version: object = None) -> None:
        """
        Args:
            path: the file.
            why: the part of the file that is not known here.
            version: version of lnbench that wrote the file, if the file has it.
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
    write_atomically(path, json.dumps(sealed(content), indent=2) + "\n")


def sealed(content: dict[str, Any]) -> dict[str, Any]:
    """The content with its checksum."""
    return {**content, SEAL: _digest(content)}


def read_sealed(path: Path) -> dict[str, Any]:
    """Reads a file of `write_sealed`, without the checksum.

    Raises:
        OSError: the file cannot be read.
        SealError: the file is damaged.
    """
    return _unsealed(read_json(path))


def read_as(schema: type[S], path: Path, intact: bool = False) -> S:
    """Reads a file of `write_sealed` as a schema that has a `format`.

    A file is damaged if it is not JSON or its checksum does not fit. A file of an unknown format, or an intact file
    that does not fit the schema, is from another version of lnbench. The format is checked before the checksum, which
    another format may compute differently.

    Args:
        schema: schema that has a `format`.
        path: the file.
        intact: whether this very file has been read before. It is then read in a third of the time, without a look at
            its checksum.

    Raises:
        OSError: the file cannot be read.
        SealError: the file is damaged.
        NewerError: the file is from another version of lnbench.
    """
    if intact:
        content, end, _ = path.read_bytes().rpartition(LAST)
        with contextlib.suppress(ValidationError):
            if end:
                return schema.model_validate_json(content + b"}")
    return unsealed_as(schema, read_json(path), path)


def unsealed_as(schema: type[S], raw: Any, path: Path) -> S:
    """A value of `sealed` as a schema, as `read_as` reads it.

    Args:
        schema: schema that has a `format`.
        raw: value that JSON gave.
        path: the file that it is from, for the message.

    Raises:
        SealError: the value is damaged.
        NewerError: the value is from another version of lnbench.
    """
    if isinstance(raw, dict):
        require_format(path, raw, schema.model_fields[FORMAT].default)
    content = _unsealed(raw)
    try:
        return schema.model_validate(content)
    except ValidationError as error:
        places = dict.fromkeys(".".join(map(str, problem["loc"])) for problem in error.errors())
        raise NewerError(path, f"its {', '.join(places)}", _version(content)) from error


def require_format(path: Path, content: dict[str, Any], newest: int) -> None:
    """Refuses a file whose format is not known here.

    Args:
        path: the file, for the message.
        content: content of the file. Without a `format`, it is of format 1.
        newest: newest format that this version of lnbench knows.

    Raises:
        NewerError: the format is not known.
    """
    own = content.get(FORMAT, 1)
    if own not in range(1, newest + 1):
        raise NewerError(path, f"its format {own!r:.40}", _version(content))


def read_json(path: Path) -> Any:
    """Reads a JSON file that anyone may have written.

    Raises:
        OSError: the file cannot be read.
        SealError: the path is not a file, or `parse_json` refuses its content.
    """
    if path.exists() and not path.is_file():
        raise SealError("is not a file")
    return parse_json(path.read_bytes())


def parse_json(text: str | bytes) -> Any:
    """Parses JSON that anyone may have written. The value can be shown, compared and written again.

    Raises:
        SealError: the text is not JSON, is nested too deeply, or has numbers or characters that cannot be stored.
    """
    try:
        value = json.loads(text, parse_int=_integer)
        if not _is_plain(text):
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


def _is_plain(text: str | bytes) -> bool:
    """Whether a text is of ASCII characters that stand for themselves; all of them can be stored."""
    if not text.isascii():
        return False
    raw = text.encode() if isinstance(text, str) else text
    return b"\\u" not in raw and b"\0" not in raw  # zeros: UTF-16, in which an escape has zeros in it


def _is_deep(value: Any) -> bool:
    layer = [value] if isinstance(value, dict | list) else []
    for _ in range(DEEPEST - 1):
        if not layer:
            break
        nodes = [node.values() if isinstance(node, dict) else node for node in layer]
        layer = [child for node in nodes for child in node if isinstance(child, (dict, list))]
    return any(layer)


def _version(content: dict[str, Any]) -> object:
    versions = content.get("versions")
    return versions.get("lnbench") if isinstance(versions, dict) else None
