"""Uploads and downloads tuned models on the Hugging Face hub."""

from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi, get_token, snapshot_download

from lnbench.backbone.source import is_repository
from lnbench.core.schema import ConfigError
from lnbench.records.files import ADAPTER, CONFIG, RECORD


class HubError(ValueError):
    """The hub refused an action, or it could not be reached."""


def check_can_upload(name: str) -> None:
    """Checks everything that can be checked before an upload.

    Raises:
        ConfigError: the name is not a valid one, or there is no token.
    """
    if not is_repository(name):
        raise ConfigError(
            f"--hub = {name!r}: must be USER/NAME, of letters, digits, '-', '_' and '.', none of the last three at "
            f"an end"
        )
    if not get_token():
        raise ConfigError("--hub: needs a token of the Hugging Face hub; set HF_TOKEN, or log in with: hf auth login")


def upload(name: str, files: Sequence[Path], message: str, private: bool = False) -> str:
    """Uploads files to the root of a repository in one commit; creates the repository if there is none.

    Args:
        name: id of the repository, `USER/NAME`.
        files: files to send, each under its own name.
        message: message of the commit.
        private: whether a new repository is private; if False, the account's settings decide.

    Returns:
        Address of the commit.

    Raises:
        HubError: the hub refused the upload, or cannot be reached.
    """
    api = HfApi()
    try:
        api.create_repo(name, private=private or None, exist_ok=True)
        added = [CommitOperationAdd(path_in_repo=file.name, path_or_fileobj=file) for file in files]
        return api.create_commit(name, added, commit_message=message).commit_url
    except Exception as error:  # the type depends on the HTTP client of the hub's library
        raise HubError(f"--hub = {name!r}: could not be uploaded ({error})") from error


def download(name: str, revision: str | None = None) -> Path:
    """Downloads the files of a repository that `lnbench.load` needs, or finds them in the cache if the hub is down.

    Args:
        name: id of the repository, `USER/NAME`.
        revision: commit, tag or branch; None takes the newest version.

    Raises:
        HubError: the repository does not exist, or cannot be reached.
    """
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=[CONFIG, ADAPTER, RECORD]))
    except Exception as error:  # the type depends on the HTTP client of the hub's library
        reason = str(error).strip().partition("\n")[0]
        raise HubError(f"{name}: is no folder here, and cannot be had from the Hugging Face hub ({reason})") from error
