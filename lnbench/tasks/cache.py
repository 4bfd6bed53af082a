"""Keeps tokenised splits in the user's cache folder; a cache that fails costs time, never the run."""

import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from lnbench.cache import cache_root
from lnbench.fsio import write_atomically
from lnbench.tasks.examples import Examples

log = logging.getLogger(__name__)


def token_file(cache_dir: Path | None, key: str) -> Path:
    """Where the splits with `key` are kept: under `cache_dir`, `$LNBENCH_CACHE` or the user's cache folder."""
    return cache_root(cache_dir) / "tokens" / f"{key}.safetensors"


def load(path: Path, pad_id: int) -> dict[str, Examples] | None:
    """The splits kept in `path`, or None if there are none or they cannot be used."""
    try:
        splits: dict[str, dict[str, NDArray[np.generic]]] = {}
        for name, array in load_file(path).items():
            split, _, part = name.partition("/")
            splits.setdefault(split, {})[part] = array
        return {split: Examples.from_arrays(arrays, pad_id) for split, arrays in splits.items()}
    except FileNotFoundError:
        return None
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        log.warning("token cache %s cannot be used (%s): tokenising again", path, error)
        return None


def store(path: Path, splits: Mapping[str, Examples]) -> None:
    """Keeps `splits` in `path`, safely beside other writers; a failure is logged and goes no further."""
    arrays = {f"{split}/{name}": a for split, rows in splits.items() for name, a in rows.to_arrays().items()}
    try:
        write_atomically(path, save(arrays))
    except OSError as error:
        log.warning("token cache %s cannot be written (%s): going on without it", path, error)
