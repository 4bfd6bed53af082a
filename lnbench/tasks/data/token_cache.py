"""Keeps tokenised splits in the user's cache folder. A cache that fails or is damaged costs time, but fails no run."""

import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from lnbench.core.cache import cache_root
from lnbench.core.tensors import TensorFileError, read_tensors, write_tensors
from lnbench.tasks.tokens.examples import Examples

log = logging.getLogger(__name__)


def token_file(cache_dir: Path | None, key: str) -> Path:
    """The file for the splits with `key`, under `cache_dir`, `$LNBENCH_CACHE` or the user's cache folder."""
    return cache_root(cache_dir) / "tokens" / f"{key}.safetensors"


def load_tokens(path: Path, pad_id: int) -> dict[str, Examples] | None:
    """The splits that `store_tokens` wrote to `path`; None if the file is missing, or its checksum or key is wrong."""
    if not path.is_file():
        return None
    try:
        tensors, key = read_tensors(path)
        if key != path.stem:
            raise ValueError(f"it was stored as {key}")
        splits: dict[str, dict[str, NDArray[np.generic]]] = {}
        for name, tensor in tensors.items():
            split, _, part = name.partition("/")
            splits.setdefault(split, {})[part] = tensor.numpy()
        return {split: Examples.from_arrays(arrays, pad_id) for split, arrays in splits.items()}
    except (TensorFileError, KeyError, TypeError, ValueError) as error:
        log.warning("token cache %s cannot be used (%s): tokenising again", path, error)
        return None


def store_tokens(path: Path, splits: Mapping[str, Examples]) -> None:
    """Writes `splits` to `path`. Other processes may write the same file. A failure is only logged."""
    tensors = {
        f"{split}/{name}": torch.from_numpy(np.require(array, requirements="W"))
        for split, rows in splits.items()
        for name, array in rows.to_arrays().items()
    }
    try:
        write_tensors(path, tensors, path.stem)
    except OSError as error:
        log.warning("token cache %s cannot be written (%s): going on without it", path, error)
