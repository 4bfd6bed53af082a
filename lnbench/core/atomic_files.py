"""Atomic file writing: a reader sees the old file or the new one, never a part of one."""

import os
import secrets
from collections.abc import Iterable
from pathlib import Path


def write_atomically(path: Path, content: bytes | str) -> None:
    """Writes the whole file `path`, text as UTF-8. The content is on the disk before the file appears.

    Missing parent folders are made. If several writers race for one path, the last one wins with its whole content. If
    writing fails, `path` is left as it was.

    Raises:
        OSError: the file cannot be written.
    """
    write_pieces(path, [content.encode() if isinstance(content, str) else content])


def write_pieces(path: Path, pieces: Iterable[bytes | memoryview]) -> None:
    """`write_atomically` for a content that comes in pieces, of which only one is in memory at a time.

    Raises:
        OSError: the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("xb") as file:
            for piece in pieces:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error  # not the temporary file's name
    finally:
        temporary.unlink(missing_ok=True)
