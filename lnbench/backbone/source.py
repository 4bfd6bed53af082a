"""Finds a pretrained model and identifies its content, without torch, which is slow to import."""

import importlib.util
from pathlib import Path

from lnbench.backbone.config import ModelConfig
from lnbench.core.digests import COMMIT, content_digest, hub_commit, joint_digest
from lnbench.core.schema import ConfigError

PACKAGE_SCHEME = "package:"
SUFFIXES = (".json", ".jinja", ".model", ".safetensors", ".txt")
"""Suffixes of the files in a model's folder that decide its output or its tokenisation."""


def resolve_source(source: str, install: str | None = None) -> str:
    """A hub id or folder that transformers can load; `package:NAME/FOLDER` becomes the package's folder.

    The package is not imported.

    Args:
        source: as in the configuration.
        install: the command that installs the package, for the message when it is missing.

    Raises:
        ConfigError: there is no such folder, package or folder of a package.
    """
    if not source.startswith(PACKAGE_SCHEME):
        if not Path(source).is_dir() and not is_repository(source, needs_owner=False):
            raise ConfigError(
                f"model.source = {source!r}: there is no such folder, and it is not the id of a hub model (NAME or "
                f"OWNER/NAME)"
            )
        return source
    hint = f"; try: {install}" if install else ""
    package, _, folder = source.removeprefix(PACKAGE_SCHEME).partition("/")
    if not package.isidentifier():
        raise ConfigError(
            f"model.source = {source!r}: {package!r} is not the name of a Python package; write package:NAME/FOLDER"
        )
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError(f"model.source = {source!r}: the Python package {package!r} is not installed{hint}")
    path = Path(spec.submodule_search_locations[0]) / folder
    if not path.is_dir():
        raise ConfigError(f"model.source = {source!r}: the Python package {package!r} has no folder {folder!r}")
    return str(path)


def is_repository(name: str, needs_owner: bool = True) -> bool:
    """Whether a text can be the id of a repository: `OWNER/NAME`, or the older form `NAME`."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return "/" in name or not needs_owner


def check_revision(model: ModelConfig) -> None:
    """Refuses a revision for a model that is not on the hub.

    Raises:
        ConfigError: a revision is set, and the model is in a folder or in a Python package.
    """
    packaged = model.source.startswith(PACKAGE_SCHEME)
    if model.revision is not None and (packaged or Path(model.source).is_dir()):
        place = "in a Python package" if packaged else "a folder of this machine"
        raise ConfigError(
            f"model.revision = {model.revision!r}: is of a repository on the hub, and model.source = {model.source!r} "
            f"is {place}; leave model.revision out, or name a repository in model.source"
        )


def content_of_model(model: ModelConfig) -> str | None:
    """Identifies the content of a pretrained model.

    Returns:
        SHA-256 of a folder, or the commit of a repository on the hub. None if the model or its commit is not found.
    """
    try:
        source = resolve_source(model.source, model.install)
    except ConfigError:
        return None
    folder = Path(source)
    if not folder.is_dir():
        return hub_commit(source, "model", model.revision)
    try:
        if model.gguf_file:
            return content_digest(folder / model.gguf_file)
        files = [file for file in folder.iterdir() if file.suffix in SUFFIXES and file.is_file()]
        return joint_digest({file.name: content_digest(file) for file in files}) if files else None
    except OSError:
        return None


def check_content(model: ModelConfig) -> None:
    """Checks that a model's content is still that of the configuration.

    Raises:
        ConfigError: the content has changed.
    """
    if model.content is None or COMMIT.fullmatch(model.content):
        return
    found = content_of_model(model)
    if found is not None and found != model.content:
        raise ConfigError(
            f"model.source = {model.source!r}: holds other files than when this run was configured (content "
            f"{found[:12]}, then {model.content[:12]}); put the former ones back, or start a new run"
        )
