"""The cache of unpacked GGUF files, with a stand-in for what unpacks them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lnbench.backbone import gguf
from lnbench.backbone.config import ModelConfig
from lnbench.backbone.loading import load_tokenizer
from lnbench.core.schema import ConfigError
from tests import runs


@pytest.fixture
def packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, list[int]]:
    """A folder with a file that counts as GGUF, and a list that gets longer with every unpacking."""
    unpacked: list[int] = []

    class Model:
        def save_pretrained(self, folder: Path) -> None:
            unpacked.append(1)
            runs.save_model("gpt2", folder)

    class Tokenizer:
        @staticmethod
        def from_pretrained(*_: object, **__: object) -> "Tokenizer":
            return Tokenizer()

        def save_pretrained(self, folder: Path) -> None:
            (folder / "words").write_text("a b c")

    monkeypatch.setenv("LNBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(gguf, "_read", lambda *_: Model())
    monkeypatch.setattr(gguf, "AutoTokenizer", Tokenizer)
    monkeypatch.setattr(gguf, "require_reader", lambda _: None)
    (tmp_path / "model.gguf").write_bytes(b"packed")
    return tmp_path, unpacked


def forget() -> None:
    """As a new process would."""
    gguf._is_intact.cache_clear()


def test_an_intact_folder_is_taken_as_it_is(packed: tuple[Path, list[int]], caplog: pytest.LogCaptureFixture) -> None:
    folder, unpacked = packed
    first = gguf.unpacked(folder, "model.gguf")
    forget()
    assert gguf.unpacked(folder, "model.gguf") == first
    assert len(unpacked) == 1
    assert not caplog.records


@pytest.mark.parametrize("damage", ["bit", "file gone", "checksums gone"])
def test_a_damaged_folder_is_unpacked_again(
    packed: tuple[Path, list[int]], caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    folder, unpacked = packed
    target = gguf.unpacked(folder, "model.gguf")
    assert target
    weights = (target / "model.safetensors").read_bytes()
    if damage == "bit":
        (target / "model.safetensors").write_bytes(weights[:-1] + bytes([weights[-1] ^ 1]))
    else:
        (target / ("words" if damage == "file gone" else gguf.CHECKSUMS)).unlink()
    forget()
    assert gguf.unpacked(folder, "model.gguf") == target
    assert (target / "model.safetensors").read_bytes() == weights
    assert (target / "words").is_file()
    assert len(unpacked) == 2
    assert "unpacking the GGUF file again" in caplog.text


def write_gguf(
    path: Path,
    scaling: str | None = None,
    tensor: str = "output.weight",
    architecture: str = "llama",
    key_length: int | None = None,
) -> None:
    """A GGUF file with the metadata of a language model and one tensor."""
    library = pytest.importorskip("gguf", reason="pip install gguf")
    writer = library.GGUFWriter(path, architecture)
    if key_length:
        writer.add_key_length(key_length)
    if scaling:
        writer.add_rope_scaling_type(library.RopeScalingType(scaling))
    writer.add_tensor(tensor, np.ones(8, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.mark.parametrize(
    ("file", "told"),
    [
        ({"scaling": "linear"}, "llama.rope.scaling.type = linear"),
        ({"scaling": "yarn"}, "llama.rope.scaling.type = yarn"),
        ({"tensor": "rope_freqs.weight"}, "rope_freqs.weight"),
    ],
)
def test_scaled_positions_are_refused_because_transformers_drops_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: dict[str, Any], told: str
) -> None:
    monkeypatch.setenv("LNBENCH_CACHE", str(tmp_path / "cache"))
    write_gguf(tmp_path / "model.gguf", **file)
    model = ModelConfig(name="x", source=str(tmp_path), gguf_file="model.gguf", pooling="last")
    with pytest.raises(
        ConfigError, match=rf"^model\.gguf_file = 'model\.gguf': its rotary embedding is scaled \({told}\)"
    ):
        load_tokenizer(model)


@pytest.mark.parametrize("scaling", [None, "none"])
def test_plain_positions_are_taken(tmp_path: Path, scaling: str | None) -> None:
    write_gguf(tmp_path / "model.gguf", scaling)
    gguf.require_nothing_dropped(tmp_path, "model.gguf")


@pytest.mark.parametrize("architecture", ["gemma2", "gemma3"])
def test_the_scale_of_attention_in_gemmas_27b_models_is_refused_because_transformers_drops_it(
    tmp_path: Path, architecture: str
) -> None:
    write_gguf(tmp_path / "small.gguf", architecture=architecture, key_length=256)
    gguf.require_nothing_dropped(tmp_path, "small.gguf")
    write_gguf(tmp_path / "27b.gguf", architecture=architecture, key_length=128)
    message = rf"^model\.gguf_file = '27b\.gguf': its attention .* \({architecture}\.attention\.key_length = 128\)"
    with pytest.raises(ConfigError, match=message):
        gguf.require_nothing_dropped(tmp_path, "27b.gguf")
