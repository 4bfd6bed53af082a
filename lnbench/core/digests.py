"""What a file or a repository on the hub holds, as a short text that changes with the content."""

import contextlib
import errno
import functools
import gzip
import hashlib
import logging
import re
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from lnbench.core.atomic_files import write_atomically
from lnbench.core.cache import cache_root

REMEMBERED_BYTES = 2**24
"""Files from this size on are not read again as long as path, size and time of the last change stay."""
SETTLED_SECONDS = 2.0
"""A file that was changed less long ago may change again within the same tick of the file system's clock."""
COMMIT = re.compile(r"[0-9a-f]{40}")

log = logging.getLogger(__name__)


def content_digest(path: Path) -> str:
    """SHA-256 of what a file holds; of a `.gz` file, of what it unpacks to.

    Raises:
        OSError: it cannot be read, or cannot be unpacked.
    """
    about = path.stat()
    if about.st_size < REMEMBERED_BYTES:
        return _digest(path)
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
    """SHA-256 of the digests of several files by name."""
    return hashlib.sha256(repr(sorted(digests.items())).encode()).hexdigest()


@functools.cache
def hub_commit(repository: str, kind: Literal["model", "dataset"], revision: str | None) -> str | None:
    """The commit of a repository on the hub that a revision means now; offline, the one that was downloaded.

    Args:
        repository: its id.
        kind: of the repository.
        revision: a commit, tag or branch; None: the main branch.

    Returns:
        40 hexadecimal digits; None if it cannot be told.
    """
    if revision and COMMIT.fullmatch(revision):
        return revision
    from huggingface_hub import HfApi, constants
    from huggingface_hub.file_download import repo_folder_name

    if hub_answers():
        try:
            return HfApi().repo_info(repository, repo_type=kind, revision=revision, timeout=10).sha
        except Exception as error:  # of whichever HTTP client the hub's library has
            log.debug("the commit of %s cannot be had: %s", repository, error)
    try:
        folder = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=repository, repo_type=kind)
        commit = (folder / "refs" / (revision or constants.DEFAULT_REVISION)).read_text().strip()
    except (OSError, ValueError):  # not downloaded, or no id of a repository at all
        return None
    return commit if COMMIT.fullmatch(commit) else None


@functools.cache
def hub_answers() -> bool:
    """Whether there is a way to the hub; without one, its libraries would try again and again for a minute."""
    from huggingface_hub import constants, get_session

    if constants.is_offline_mode():
        return False
    try:
        get_session().head(constants.ENDPOINT, timeout=5)
    except Exception:  # of whichever HTTP client the hub's library has
        return False
    return True


def _digest(path: Path) -> str:
    opened: Callable[..., Any] = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise OSError(errno.EIO, f"cannot be unpacked: {error}", str(path)) from error


def _check(known: str, digest: str) -> str:
    """Tells a remembered digest from a damaged one."""
    return hashlib.sha256(f"{known} {digest}".encode()).hexdigest()[:16]
