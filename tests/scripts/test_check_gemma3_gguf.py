"""The numpy arithmetic of a Gemma 3 GGUF file, against the model that is loaded from it."""

from pathlib import Path

import numpy as np
import pytest

from lnbench.backbone import gguf
from scripts.check_gemma3_gguf import Gemma3, loaded_losses

pytest.importorskip("gguf", reason="pip install gguf")
HIDDEN, BLOCKS, HEADS, SIZE, INNER, WORDS, WINDOW = 32, 7, 4, 256, 48, 64, 6


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `tiny.gguf`: seven blocks, of which one attends to all tokens, and gains far from 1."""
    from gguf import GGUFWriter

    folder = tmp_path_factory.mktemp("gguf")
    rng = np.random.default_rng(0)
    writer = GGUFWriter(folder / "tiny.gguf", "gemma3")
    writer.add_context_length(128)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(BLOCKS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(1)
    writer.add_key_length(SIZE)
    writer.add_value_length(SIZE)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(1_000_000.0)
    writer.add_sliding_window(WINDOW)
    writer.add_vocab_size(WORDS)
    writer.add_token_list([f"w{number}" for number in range(WORDS)])

    def add(name: str, *shape: int) -> None:
        gain = 0.5 + 2 * rng.random(shape) if len(shape) == 1 else rng.normal(0, 0.3, shape)
        writer.add_tensor(f"{name}.weight", gain.astype(np.float32))

    add("token_embd", WORDS, HIDDEN)
    add("output_norm", HIDDEN)
    for block in (f"blk.{number}" for number in range(BLOCKS)):
        for norm in ("attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm"):
            add(f"{block}.{norm}", HIDDEN)
        for norm in ("attn_q_norm", "attn_k_norm"):
            add(f"{block}.{norm}", SIZE)
        add(f"{block}.attn_q", HEADS * SIZE, HIDDEN)
        add(f"{block}.attn_k", SIZE, HIDDEN)
        add(f"{block}.attn_v", SIZE, HIDDEN)
        add(f"{block}.attn_output", HIDDEN, HEADS * SIZE)
        add(f"{block}.ffn_gate", INNER, HIDDEN)
        add(f"{block}.ffn_up", INNER, HIDDEN)
        add(f"{block}.ffn_down", HIDDEN, INNER)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return folder


IDS = np.random.default_rng(1).integers(0, WORDS, 24)


def test_both_compute_the_same_loss_of_each_token(folder: Path) -> None:
    loaded = gguf._read(folder, "tiny.gguf").eval()
    np.testing.assert_allclose(Gemma3(folder / "tiny.gguf").losses(IDS), loaded_losses(loaded, IDS), atol=1e-4)


@pytest.mark.parametrize("norm", ["blk.0.attn_norm", "blk.3.attn_q_norm", "blk.6.post_ffw_norm", "output_norm"])
def test_a_gain_that_is_off_by_one_shows(folder: Path, norm: str) -> None:
    file = Gemma3(folder / "tiny.gguf")
    before = file.losses(IDS)
    file.weights = {**file.weights, f"{norm}.weight": file.weights[f"{norm}.weight"] + 1}
    assert abs(file.losses(IDS) - before).max() > 0.01
