"""Digests: short texts that identify the content of a file or of a repository on the hub."""

import contextlib
import errno
import functools
import gzip
import hashlib
import logging
import os
import re
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from lnbench.core.atomic_files import write_atomically
from lnbench.core.cache import cache_root

REMEMBERED_BYTES = 2**24
"""Bytes from which a file's digest is cached. The file is read again if its path, size or modification time changes."""
SETTLED_SECONDS = 2.0
"""Least age of a file's last change for its digest to be cached. A younger file may change again within one tick of the
file system's clock."""
COMMIT = re.compile(r"[0-9a-f]{40}")

log = logging.getLogger(__name__)


def content_digest(path: Path) -> str:
    """SHA-256 of a file's content. The content of a `.gz` file is what it unpacks to.

    Raises:
        OSError: the file cannot be read or unpacked.
    """
    about = path.stat()
    if about.st_size < REMEMBERED_BYTES:
        settled = time.time() - max(about.st_mtime, about.st_ctime) > SETTLED_SECONDS
        return _digest_in_state(path, _state(about)) if settled else _digest(path)
    known = hashlib.sha256(repr([str(path.resolve()), about.st_size, about.st_mtime_ns]).encode()).hexdigest()
    memory = cache_root() / "digests" / known
    with contextlib.suppress(OSError, ValueError):
        digest, check = memory.read_text().split()
        if check == _check(known, digest):
            return digest
    digest = _digest(path)
    if time.time() - about.st_mtime > SETTLED_SECONDS and path.stat().st_mtime_ns == about.st_mtime_ns:
        try:
            write_atomically(memory, f"{digest} {_check(known, digest)}")
        except OSError as error:
            log.debug("%s cannot be written (%s)", memory, error)
    return digest


def joint_digest(digests: dict[str, str]) -> str:
    """One SHA-256 for several files, from their digests by name."""
    return hashlib.sha256(repr(sorted(digests.items())).encode()).hexdigest()


@functools.cache
def hub_commit(repository: str, kind: Literal["model", "dataset"], revision: str | None) -> str | None:
    """The commit that a revision of a repository on the hub means now. Offline, it is the commit that was downloaded.

    Args:
        repository: its id.
        kind: kind of the repository.
        revision: a commit, tag or branch; None: the main branch.

    Returns:
        40 hexadecimal digits; None if the commit cannot be found.
    """
    if revision and COMMIT.fullmatch(revision):
        return revision
    from huggingface_hub import HfApi, constants
    from huggingface_hub.file_download import repo_folder_name

    if hub_answers():
        try:
            return HfApi().repo_info(repository, repo_type=kind, revision=revision, timeout=10).sha
        except Exception as error:  # any error of the HTTP client of the hub's library
            log.debug("the commit of %s cannot be had: %s", repository, error)
    try:
        folder = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=repository, repo_type=kind)
        commit = (folder / "refs" / (revision or constants.DEFAULT_REVISION)).read_text().strip()
    except (OSError, ValueError):  # not downloaded, or not the id of a repository
        return None
    return commit if COMMIT.fullmatch(commit) else None


@functools.cache
def hub_answers() -> bool:
    """Whether the hub can be reached. If it cannot, its libraries would retry for a minute."""
    from huggingface_hub import constants, get_session

    if constants.is_offline_mode():
        return False
    try:
        get_session().head(constants.ENDPOINT, timeout=5)
    except Exception:  # any error of the HTTP client of the hub's library
        return False
    return True


@functools.lru_cache(maxsize=1024)
def _digest_in_state(path: Path, state: tuple[int, ...]) -> str:
    """The digest of a file in one state. This process reads it once."""
    return _digest(path)


def _state(about: os.stat_result) -> tuple[int, ...]:
    """Values that change whenever a file changes."""
    return (about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns)


def _digest(path: Path) -> str:
    opened: Callable[..., Any] = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise OSError(errno.EIO, f"cannot be unpacked: {error}", str(path)) from error


def _check(known: str, digest: str) -> str:
    """Checksum that tells an intact cached digest from a damaged one."""
    return hashlib.sha256(f"{known} {digest}".encode()).hexdigest()[:16]
