"""Safetensors files with tensors, a text, and a checksum of both."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from lnbench.core.atomic_files import write_pieces

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
    write_pieces(path, _pieces(kept, {TEXT: text, SEAL: _digest(kept, text)}))


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


def _pieces(tensors: Mapping[str, Tensor], about: Mapping[str, str]) -> Iterator[bytes | memoryview]:
    """The file that safetensors writes, with a sorted header; safetensors 0.8 writes its texts in a random order."""
    header: dict[str, Any] = {"__metadata__": dict(about)} if about else {}
    start, order = 0, _in_order(tensors)
    for name, dtype in order.items():
        end = start + tensors[name].nbytes
        header[name] = {"data_offsets": [start, end], "dtype": dtype, "shape": list(tensors[name].shape)}
        start = end
    text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    padded = text + b" " * (-len(text) % 8)
    yield len(padded).to_bytes(8, "little") + padded
    for name in order:
        yield _bytes(tensors[name])


def _in_order(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """The names of tensors and of their types, in the order in which safetensors writes them."""
    content = save({name: torch.zeros(1, dtype=tensor.dtype) for name, tensor in tensors.items()}, {TEXT: ""})
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    del header["__metadata__"]
    return {name: one["dtype"] for name, one in sorted(header.items(), key=lambda item: item[1]["data_offsets"])}


def _bytes(tensor: Tensor) -> memoryview:
    data: memoryview = tensor.reshape(-1).view(torch.uint8).numpy().data
    return data


def _digest(tensors: Mapping[str, Tensor], text: str) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"\0{name}\0{tensor.dtype}\0{list(tensor.shape)}\0".encode())
        digest.update(_bytes(tensor))
    return digest.hexdigest()
