"""Safetensors files with tensors, a text, and a checksum of both."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from lnbench.core.atomic_files import write_atomically

TEXT, SEAL = "lnbench", "sha256"
"""Keys of the file's header."""


class TensorFileError(ValueError):
    """A file that is missing, damaged, or was not written by lnbench."""


def write_tensors(path: Path, tensors: Mapping[str, Tensor], text: str) -> None:
    """Writes tensors by name, and a text in the file's header, atomically. Equal contents give equal bytes.

    Raises:
        OSError: the file cannot be written.
    """
    kept = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_atomically(path, _in_order(save(kept, {TEXT: text, SEAL: _digest(kept, text)})))


def read_tensors(path: Path) -> tuple[dict[str, Tensor], str]:
    """Reads the tensors, onto the CPU, and the text from a file of `write_tensors`.

    Raises:
        TensorFileError: the file is missing, damaged, or was not written by lnbench.
    """
    try:
        with safe_open(path, framework="pt") as file:
            names: list[str] = file.keys()
            tensors, header = {name: file.get_tensor(name) for name in names}, file.metadata() or {}
        text, seal = header[TEXT], header[SEAL]
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise TensorFileError(f"{type(error).__name__}: {error}") from error
    if seal != _digest(tensors, text):
        raise TensorFileError("its checksum does not fit")
    return tensors, text


def _in_order(content: bytes) -> bytes:
    """The same file with a sorted header. safetensors 0.8 writes the header's texts in a random order."""
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8:start]), sort_keys=True, separators=(",", ":")).encode()
    padded = header + b" " * (-len(header) % 8)
    return len(padded).to_bytes(8, "little") + padded + content[start:]


def _digest(tensors: Mapping[str, Tensor], text: str) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"\0{name}\0{tensor.dtype}\0{list(tensor.shape)}\0".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
