"""The adapter file: the trained tensors of a run, and nothing else."""

import json
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from lnbench.config import RunConfig
from lnbench.records.files import ADAPTER
from lnbench.records.tensors import read_tensors, write_tensors


class AdapterError(ValueError):
    """An adapter file that is missing, damaged, or belongs to another backbone."""


def header(config: RunConfig) -> dict[str, str]:
    """What the tensors of a run belong to."""
    content = {"content": config.model.content} if config.model.content else {}
    return {"backbone": config.model.source, **content, "method": config.method_name}


def save_adapter(tensors: Mapping[str, Tensor], about: Mapping[str, str], folder: Path) -> None:
    """Writes `folder/adapter.safetensors` atomically.

    Args:
        tensors: trained values by parameter name.
        about: what they belong to, such as the backbone's name and content; readable in the file's header.
    """
    write_tensors(folder / ADAPTER, tensors, json.dumps(dict(about)))


def load_adapter(folder: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors and the header that `save_adapter` wrote.

    Raises:
        AdapterError: there is no such file, or it is damaged.
    """
    path = folder / ADAPTER
    if not path.is_file():
        raise AdapterError(f"{path}: is not there; only a finished run has one")
    try:
        tensors, about = read_tensors(path)
        return tensors, json.loads(about)
    except ValueError as error:
        raise AdapterError(f"{path}: is damaged or not an adapter of lnbench ({error})") from error
