"""The adapter file, which holds the trained tensors of a run and nothing else."""

import json
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from lnbench.config.run import RunConfig
from lnbench.core.sealed import FORMAT, SealError, parse_json, require_format
from lnbench.core.tensors import TensorFileError, read_tensors, write_tensors
from lnbench.records.files import ADAPTER

NEWEST = 1
"""Version of the file format that this lnbench writes."""


class AdapterError(ValueError):
    """An adapter file is missing, damaged, or belongs to another backbone."""


def header(config: RunConfig) -> dict[str, str]:
    """The file's header, which identifies the run's model."""
    content = {"content": config.model.content} if config.model.content else {}
    return {"backbone": config.model.source, **content, "method": config.method_name}


def save_adapter(tensors: Mapping[str, Tensor], about: Mapping[str, str], folder: Path) -> None:
    """Writes `folder/adapter.safetensors` atomically.

    Args:
        tensors: trained values by parameter name.
        about: description of the tensors' origin, such as the backbone's name and content, for the file's header.
    """
    write_tensors(folder / ADAPTER, tensors, json.dumps({FORMAT: NEWEST, **about}))


def load_adapter(folder: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors and the header that `save_adapter` wrote.

    Raises:
        AdapterError: the file is missing or damaged.
        NewerError: a newer lnbench wrote the file.
    """
    path = folder / ADAPTER
    if not path.is_file():
        raise AdapterError(f"{path}: is not there; only a finished run has one")
    try:
        tensors, text = read_tensors(path)
        about = parse_json(text)
        if not isinstance(about, dict):
            raise SealError("its header is no object")
    except (TensorFileError, SealError) as error:
        raise AdapterError(f"{path}: is damaged or not an adapter of lnbench ({error})") from error
    require_format(path, about, NEWEST)
    return tensors, {name: value for name, value in about.items() if name != FORMAT}
