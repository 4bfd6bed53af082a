"""Tuned models on the Hugging Face hub."""

from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi, get_token, snapshot_download
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from lnbench.core.schema import ConfigError
from lnbench.records.files import ADAPTER, CONFIG, RECORD


class HubError(ValueError):
    """What the hub did not do, and why."""


def is_repository(name: str, needs_owner: bool = True) -> bool:
    """Whether a text can be the id of a repository: `OWNER/NAME`, or `NAME` alone, as old ones have it."""
    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return "/" in name or not needs_owner


def check_can_upload(name: str) -> None:
    """Checks what can be checked before anything is sent.

    Raises:
        ConfigError: the name is none, or there is no token.
    """
    if not is_repository(name):
        raise ConfigError(
            f"--hub = {name!r}: must be USER/NAME, of letters, digits, '-', '_' and '.', none of the last three at "
            f"an end"
        )
    if not get_token():
        raise ConfigError("--hub: needs a token of the Hugging Face hub; set HF_TOKEN, or log in with: hf auth login")


def upload(name: str, files: Sequence[Path], message: str, private: bool = False) -> str:
    """Puts files in the root of a repository, in one commit; makes the repository if there is none.

    Args:
        name: of the repository, `USER/NAME`.
        files: to send, each under its own name.
        message: of the commit.
        private: whether a new repository is for its owner alone; else the account's own settings decide.

    Returns:
        Address of the commit.

    Raises:
        HubError: the hub refused, or cannot be reached.
    """
    api = HfApi()
    try:
        api.create_repo(name, private=private or None, exist_ok=True)
        added = [CommitOperationAdd(path_in_repo=file.name, path_or_fileobj=file) for file in files]
        return api.create_commit(name, added, commit_message=message).commit_url
    except Exception as error:  # of whichever HTTP client the hub's library has
        raise HubError(f"--hub = {name!r}: could not be uploaded ({error})") from error


def download(name: str, revision: str | None = None) -> Path:
    """The folder with what `lnbench.load` needs of a repository; from the cache where the hub cannot be reached.

    Args:
        name: of the repository, `USER/NAME`.
        revision: a commit, tag or branch; None: the newest.

    Raises:
        HubError: it is not there, or cannot be reached.
    """
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=[CONFIG, ADAPTER, RECORD]))
    except Exception as error:  # of whichever HTTP client the hub's library has
        reason = str(error).strip().partition("\n")[0]
        raise HubError(f"{name}: is no folder here, and cannot be had from the Hugging Face hub ({reason})") from error
