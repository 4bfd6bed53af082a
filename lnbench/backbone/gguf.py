"""Unpacks GGUF files once for all runs, because reading one takes far longer than reading the unpacked model."""

import functools
import hashlib
import importlib.util
import logging
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig, PreTrainedModel

from lnbench.core.cache import cache_root, one_at_a_time
from lnbench.core.schema import ConfigError
from lnbench.core.sealed import SealError, file_digest, read_sealed, write_sealed

CHECKSUMS = "checksums.json"
"""File in an unpacked folder with the SHA-256 of each other file, by name."""

SCALING_TENSORS = {"rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight"}
"""Tensors that scale the rotary embedding of Llama 3.1 and Phi-3."""
KEY_LENGTHS = {"gemma2.attention.key_length": 256, "gemma3.attention.key_length": 256}
"""Sizes of heads whose attention has the scale that transformers takes for a GGUF file of Gemma, 1/16. The 27B models
have smaller heads and another scale (1/12 in Gemma 2, 1/sqrt(168) in Gemma 3), which is in no field of the file."""

log = logging.getLogger(__name__)


def unpacked(folder: Path, name: str) -> Path | None:
    """A folder in the cache with the model and tokenizer of a GGUF file, in fp32, as `save_pretrained` writes them.

    Each process compares the folder with its checksums once. If they do not fit, the file is unpacked again.

    Returns:
        The folder; None if it cannot be written.

    Raises:
        ConfigError: the package that reads GGUF files is not installed, or `require_nothing_dropped` says so.
        OSError, ValueError: the file is missing or damaged.
    """
    require_reader(name)
    target = cache_root() / "backbones" / _key(folder / name)
    if _is_intact(target):
        return target
    with one_at_a_time(target):
        _is_intact.cache_clear()  # another process may have unpacked it meanwhile
        if not _is_intact(target):
            shutil.rmtree(target, ignore_errors=True)
            _is_intact.cache_clear()
            return _unpack(folder, name, target)
    return target


@functools.cache
def _is_intact(target: Path) -> bool:
    """Whether an unpacked folder exists and fits its checksums. If it is damaged, a warning is logged."""
    if not target.is_dir():
        return False
    try:
        checksums = read_sealed(target / CHECKSUMS)
        damaged = [name for name, checksum in checksums.items() if file_digest(target / name) != checksum]
    except (OSError, SealError) as error:
        damaged = [f"{CHECKSUMS}: {error}"]
    if damaged:
        log.warning("%s is not what was unpacked (%s): unpacking the GGUF file again", target, ", ".join(damaged))
    return not damaged


def require_reader(name: str) -> None:
    """Checks that GGUF files can be read.

    Raises:
        ConfigError: the package that reads them is not installed.
    """
    if importlib.util.find_spec("gguf") is None:
        raise ConfigError(
            f"model.gguf_file = {name!r}: needs the Python package gguf; try: pip install 'lnbench[generation]'"
        )


def require_nothing_dropped(folder: Path, name: str) -> None:
    """Checks that a GGUF file has nothing that transformers ignores and that changes what the model computes.

    Raises:
        ConfigError: its rotary embedding is scaled, its attention is scaled as in Gemma's 27B models, or it has numbers
            of a type that cannot be decoded.
        ValueError: it is damaged, or has numbers of a type that is not known.
    """
    library: Any = importlib.import_module("gguf")
    reader: Any = library.GGUFReader(folder / name)
    _require_decoder(library, reader, name)
    scaled = [tensor.name for tensor in reader.tensors if tensor.name in SCALING_TENSORS]
    for key, value in reader.fields.items():
        if key.endswith(".rope.scaling.type") and value.contents() != "none":
            scaled.append(f"{key} = {value.contents()}")
    dropped = [f"its rotary embedding is scaled ({', '.join(scaled)})"] if scaled else []
    for key, usual in KEY_LENGTHS.items():
        if (field := reader.get_field(key)) and field.contents() != usual:
            dropped.append(f"its attention is scaled as in Gemma's 27B models ({key} = {field.contents()})")
    if dropped:
        raise ConfigError(
            f"model.gguf_file = {name!r}: {' and '.join(dropped)}, which transformers ignores in GGUF files, so it "
            f"would be another model; take the model's safetensors files"
        )


def _require_decoder(library: Any, reader: Any, name: str) -> None:
    kinds = {tensor.tensor_type: tensor for tensor in reader.tensors}
    for kind, tensor in kinds.items():
        try:
            library.dequantize(tensor.data[:1], kind)
        except NotImplementedError as error:
            raise ConfigError(
                f"model.gguf_file = {name!r}: {tensor.name} has numbers of the type {kind.name}, which the package "
                f"gguf cannot decode; take a file of another type, such as Q8_0, or the model's safetensors files"
            ) from error


def _key(file: Path) -> str:
    """Key in the cache, which changes with the file and with the version of transformers."""
    about = file.stat()
    known = [str(file.resolve()), about.st_size, about.st_mtime_ns, transformers.__version__]
    return hashlib.sha256(repr(known).encode()).hexdigest()[:16]


def _unpack(folder: Path, name: str, target: Path) -> Path | None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        _warn_of_no_cache(target, error)
        return None
    try:
        model = _read(folder, name)
        tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=name, local_files_only=True)
        try:
            model.save_pretrained(temporary)
            tokenizer.save_pretrained(temporary)
            write_sealed(temporary / CHECKSUMS, {file.name: file_digest(file) for file in temporary.iterdir()})
            os.rename(temporary, target)
        except OSError as error:
            _warn_of_no_cache(target, error)
            return None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target


def _warn_of_no_cache(target: Path, error: OSError) -> None:
    log.warning("%s cannot be written (%s): reading the GGUF file in every run", target, error)


def _read(folder: Path, name: str) -> PreTrainedModel:
    """Reads the dense model in fp32.

    transformers returns a model that is marked as quantised and cannot be saved. Its weights are copied to a new one.

    Raises:
        ConfigError: as `require_nothing_dropped`.
    """
    require_nothing_dropped(folder, name)
    dense = GgufConfig(dequantize=True)
    packed = AutoModelForCausalLM.from_pretrained(
        folder, gguf_file=name, quantization_config=dense, local_files_only=True, dtype=torch.float32
    )
    if hasattr(packed.config, "quantization_config"):
        del packed.config.quantization_config
    model: PreTrainedModel = AutoModelForCausalLM.from_config(packed.config, dtype=torch.float32)
    model.load_state_dict(packed.state_dict())
    return model
