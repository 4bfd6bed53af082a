"""GGUF files of every type of number are read as the `gguf` package decodes them, or refused by name."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from lnbench.backbone import gguf
from lnbench.backbone.config import ModelConfig
from lnbench.backbone.loading import load_tokenizer
from lnbench.core.schema import ConfigError

library: Any = pytest.importorskip("gguf", reason="pip install gguf")
SIZE, HEADS, TOKENS = 256, 4, 32
WRITTEN = ("F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "TQ1_0", "TQ2_0", "MXFP4")
"""Types into which the package can turn numbers."""
READ = ("Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "NVFP4", "IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS",
        "IQ3_S", "IQ4_NL", "IQ4_XS")  # fmt: skip
"""Types that it can only decode."""
OTHERS = {"F64": np.float64, "I8": np.int8, "Q1_0": np.uint8, "Q8_1": np.uint8, "Q8_K": np.uint8}
"""Types that it knows and cannot decode, and the numbers of which a file of them is made."""
MAPS = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
"""Linear maps of a block by their names in a GGUF file and in transformers."""


def packed(kind: Any, seed: int) -> NDArray[Any]:
    """A matrix of size (SIZE, SIZE) of a type: random numbers, or random bytes where numbers cannot be turned into it.

    Bytes are drawn until each block of them decodes to moderate numbers. If none can be decoded, they are zero.
    """
    if kind.name in OTHERS:
        block, width = library.GGML_QUANT_SIZES[kind]
        return np.zeros((SIZE, SIZE // block * width), np.uint8).view(OTHERS[kind.name])
    rng = np.random.default_rng(seed)
    if kind.name in WRITTEN:
        return np.asarray(library.quants.quantize(rng.normal(size=(SIZE, SIZE)).astype(np.float32), kind))
    block, width = library.GGML_QUANT_SIZES[kind]
    kept: list[NDArray[np.uint8]] = []
    while len(kept) < SIZE * SIZE // block:
        drawn = rng.integers(256, size=(4096, width), dtype=np.uint8)
        with np.errstate(all="ignore"):
            values = library.quants.dequantize(drawn, kind).reshape(len(drawn), -1)
        kept += list(drawn[(np.abs(values).max(1) < 100) & (np.abs(values).max(1) > 1e-3)])
    return np.concatenate(kept[: SIZE * SIZE // block]).reshape(SIZE, -1)


def write_llama(path: Path, kind: Any) -> dict[str, NDArray[Any]]:
    """Writes a Llama of one block, whose linear maps are of a type. Returns their bytes by name."""
    writer = library.GGUFWriter(path, "llama")
    writer.add_block_count(1)
    writer.add_context_length(64)
    writer.add_embedding_length(SIZE)
    writer.add_feed_forward_length(SIZE)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(TOKENS)
    ones = np.ones(SIZE, np.float32)
    for name in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"):
        writer.add_tensor(f"{name}.weight", ones)
    for seed, name in enumerate(("token_embd", "output")):
        numbers = np.random.default_rng(seed).normal(size=(TOKENS, SIZE))
        writer.add_tensor(f"{name}.weight", numbers.astype(np.float32))
    maps = {name: packed(kind, seed) for seed, name in enumerate(MAPS)}
    for name, content in maps.items():
        writer.add_tensor(f"blk.0.{name}.weight", content, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return maps


def in_halves(weight: NDArray[Any]) -> NDArray[Any]:
    """The rows of queries or keys of each head in the order of transformers, which rotates halves and not pairs."""
    return weight.reshape(HEADS, -1, 2, SIZE).swapaxes(1, 2).reshape(SIZE, SIZE)


@pytest.mark.parametrize("name", [*WRITTEN, *READ])
def test_the_weights_are_those_that_the_file_encodes(name: str, tmp_path: Path) -> None:
    kind = library.GGMLQuantizationType[name]
    maps = write_llama(tmp_path / "model.gguf", kind)
    model = gguf._read(tmp_path, "model.gguf")
    for theirs, ours in MAPS.items():
        expected = library.quants.dequantize(maps[theirs], kind).astype(np.float32)
        if theirs in ("attn_q", "attn_k"):
            expected = in_halves(expected)
        weight = model.get_parameter(f"model.layers.0.{ours}.weight").detach()
        assert weight.dtype == torch.float32
        np.testing.assert_array_equal(weight.numpy(), expected, err_msg=ours)


@pytest.mark.parametrize("name", OTHERS)
def test_numbers_that_cannot_be_decoded_are_refused_before_any_are_read(name: str, tmp_path: Path) -> None:
    write_llama(tmp_path / "model.gguf", library.GGMLQuantizationType[name])
    message = rf"^model\.gguf_file = 'model\.gguf': blk\.0\.\w+\.weight has numbers of the type {name}, which "
    with pytest.raises(ConfigError, match=message):
        gguf.require_nothing_dropped(tmp_path, "model.gguf")


def test_numbers_of_an_unknown_type_are_an_error_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that a newer program has written: the type of one tensor has a number that the package does not know."""
    monkeypatch.setenv("LNBENCH_CACHE", str(tmp_path / "cache"))
    write_llama(tmp_path / "model.gguf", library.GGMLQuantizationType["I8"])
    content, name = (tmp_path / "model.gguf").read_bytes(), b"blk.0.attn_q.weight"
    place = content.index(name) + len(name) + 4 + 2 * 8  # after the number and the sizes of its dimensions
    (tmp_path / "model.gguf").write_bytes(content[:place] + bytes([99, 0, 0, 0]) + content[place + 4 :])
    model = ModelConfig(name="x", source=str(tmp_path), gguf_file="model.gguf", pooling="last")
    with pytest.raises(ConfigError, match=r"99\) is not a valid GGMLQuantizationType"):
        load_tokenizer(model)
