"""Checkpoints as safetensors: tensors as they are, everything else as JSON in the header, and no pickle."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.plugins import CheckpointIO
from torch import Tensor

from lnbench.core.errors import CheckpointError
from lnbench.core.sealed import SealError, parse_json
from lnbench.core.tensors import read_tensors, write_tensors

SUFFIX = ".safetensors"
TENSOR = "__tensor__"
PAIRS = "__pairs__"


class SafetensorsCheckpointIO(CheckpointIO):
    """Lets Lightning save and load its checkpoints as one atomic safetensors file each."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Writes nested dicts and lists of tensors and JSON values.

        Raises:
            CheckpointError: a value could not be read back, such as an integer of more than 64 bits.
            OSError: the file cannot be written.
        """
        tensors: dict[str, Tensor] = {}
        tree = json.dumps(_split(checkpoint, tensors))
        try:
            parse_json(tree)
        except SealError as error:
            raise CheckpointError(f"{path}: cannot be written, as it could not be read again ({error})") from error
        write_tensors(Path(path), tensors, tree)

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Reads a file written by `save_checkpoint`, onto the CPU.

        Raises:
            CheckpointError: the file is missing or damaged.
        """
        try:
            tensors, tree = read_tensors(Path(path))
            checkpoint: dict[str, Any] = _join(parse_json(tree), tensors)
        except (KeyError, ValueError) as error:
            raise CheckpointError(f"{path}: is missing, damaged or not a checkpoint of lnbench ({error})") from error
        return checkpoint

    def remove_checkpoint(self, path: str | Path) -> None:
        """Deletes the file, if it is there."""
        Path(path).unlink(missing_ok=True)


def _split(value: Any, tensors: dict[str, Tensor]) -> Any:
    """Turns `value` into a JSON value, and moves its tensors into `tensors`."""
    if isinstance(value, Tensor):
        key = str(len(tensors))
        tensors[key] = value.detach().cpu().contiguous().clone()
        return {TENSOR: key}
    if isinstance(value, dict):
        if all(isinstance(key, str) and key not in (TENSOR, PAIRS) for key in value):
            return {key: _split(item, tensors) for key, item in value.items()}
        return {PAIRS: [[key, _split(item, tensors)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        return [_split(item, tensors) for item in value]
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _join(tree: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The value from which `_split` made `tree`."""
    if isinstance(tree, list):
        return [_join(item, tensors) for item in tree]
    if not isinstance(tree, dict):
        return tree
    if TENSOR in tree:
        return tensors[tree[TENSOR]]
    if PAIRS in tree:
        return {key: _join(item, tensors) for key, item in tree[PAIRS]}
    return {key: _join(item, tensors) for key, item in tree.items()}
