"""Computes the loss of a text by a Gemma 3 GGUF file in numpy, and compares it with that of the model lnbench loads.

python -m scripts.check_gemma3_gguf FOLDER FILE.gguf

The arithmetic is that of llama.cpp, after its source and the report on Gemma 3 (arXiv 2503.19786), and shares no code
with transformers. The file's gains are used as they are. Every sixth layer attends to all tokens and rotates by the
file's base. The others attend to a window and rotate by the base 10,000. So a wrong gain, base, scale or order of norms
shows as another loss.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from lnbench.backbone.config import ModelConfig
from lnbench.backbone.loading import load_backbone, load_tokenizer

Array = NDArray[np.float32]
WINDOW_BASE = 10_000.0
"""Base of the rotation in layers with a window."""
GLOBAL_EVERY = 6
TEXT = (
    "The river rises in the hills north of the town and flows south for about forty miles before it reaches the sea. "
    "In the nineteenth century its water drove more than thirty mills, most of which made paper or cotton. Today two "
    "of them are museums, and the path along the bank is popular with walkers in every season of the year."
)


class Gemma3:
    """The weights of a GGUF file, and what follows from them."""

    def __init__(self, file: Path) -> None:
        """
        Args:
            file: GGUF file of the architecture `gemma3`.
        """
        from gguf import GGUFReader, dequantize

        reader: Any = GGUFReader(file)
        self._settings = {name: field.contents() for name, field in reader.fields.items()}
        self.weights: Mapping[str, Array] = {
            tensor.name: dequantize(tensor.data, tensor.tensor_type).astype(np.float32) for tensor in reader.tensors
        }

    def setting(self, name: str) -> Any:
        """A setting of the architecture."""
        return self._settings[f"gemma3.{name}"]

    def losses(self, ids: NDArray[np.int64]) -> NDArray[np.float64]:
        """The negative log-likelihood of each token but the first, (L - 1,), in nats.

        Args:
            ids: (L,) token ids.
        """
        embedding = self.weights["token_embd.weight"]
        x = embedding[ids] * np.float32(np.sqrt(embedding.shape[1]))
        for block in range(self.setting("block_count")):
            x = self._block(x, block)
        logits = (self._norm(x, "output_norm") @ embedding.T).astype(np.float64)[:-1]
        top = logits.max(axis=-1)
        likely = logits[np.arange(len(ids) - 1), ids[1:]]
        found: NDArray[np.float64] = top + np.log(np.exp(logits - top[:, None]).sum(axis=-1)) - likely
        return found

    def _block(self, x: Array, block: int) -> Array:
        name = f"blk.{block}"
        x = x + self._norm(self._attention(self._norm(x, f"{name}.attn_norm"), block), f"{name}.post_attention_norm")
        h = self._norm(x, f"{name}.ffn_norm")
        gate, up = self._map(h, f"{name}.ffn_gate"), self._map(h, f"{name}.ffn_up")
        gelu = 0.5 * gate * (1 + np.tanh(np.sqrt(2 / np.pi) * (gate + 0.044715 * gate**3)))
        return x + self._norm(self._map(gelu * up, f"{name}.ffn_down"), f"{name}.post_ffw_norm")

    def _attention(self, h: Array, block: int) -> Array:
        """Attention of (L, D) states, (L, D)."""
        name, length, size = f"blk.{block}", len(h), self.setting("attention.key_length")
        everywhere = (block + 1) % GLOBAL_EVERY == 0
        base = self.setting("rope.freq_base") if everywhere else WINDOW_BASE
        window = length if everywhere else self.setting("attention.sliding_window")
        q, k, v = (self._map(h, f"{name}.attn_{part}").reshape(length, -1, size) for part in "qkv")
        q, k = (
            _rotated(self._norm(q, f"{name}.attn_q_norm"), base),
            _rotated(self._norm(k, f"{name}.attn_k_norm"), base),
        )
        k, v = (np.repeat(part, q.shape[1] // part.shape[1], axis=1) for part in (k, v))
        scores = np.einsum("ihd,jhd->hij", q, k) / np.sqrt(size)
        distance = np.arange(length)[:, None] - np.arange(length)[None]
        scores = np.where((distance >= 0) & (distance < window), scores, -np.inf)
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        weights /= weights.sum(axis=-1, keepdims=True)
        return self._map(np.einsum("hij,jhd->ihd", weights, v).reshape(length, -1), f"{name}.attn_output")

    def _map(self, x: Array, name: str) -> Array:
        return x @ self.weights[f"{name}.weight"].T

    def _norm(self, x: Array, name: str) -> Array:
        """RMS norm over the last axis, with the file's gain as it is."""
        epsilon = self.setting("attention.layer_norm_rms_epsilon")
        found: Array = x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + epsilon) * self.weights[f"{name}.weight"]
        return found


def _rotated(x: Array, base: float) -> Array:
    """(L, H, D) vectors, whose dimensions i and i + D/2 are rotated by position x base^(-2i/D)."""
    length, _, size = x.shape
    angle = np.arange(length)[:, None] * base ** (-np.arange(0, size, 2) / size)
    sine, cosine = (one[:, None].astype(np.float32) for one in (np.sin(angle), np.cos(angle)))
    first, second = x[..., : size // 2], x[..., size // 2 :]
    return np.concatenate([first * cosine - second * sine, second * cosine + first * sine], axis=-1)


def loaded_losses(backbone: nn.Module, ids: NDArray[np.int64]) -> NDArray[np.float64]:
    """The same losses by a language model of transformers, (L - 1,).

    Args:
        backbone: the model that was loaded.
        ids: (L,) token ids.
    """
    with torch.inference_mode():
        logits = backbone(input_ids=torch.as_tensor(ids)[None]).logits[0].double().log_softmax(dim=-1)
    likely: NDArray[np.float64] = logits[torch.arange(len(ids) - 1), torch.as_tensor(ids[1:])].numpy()
    return -likely


def main() -> None:
    """Prints both losses, and fails if they differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of the file")
    parser.add_argument("file", help="name of the file")
    parser.add_argument("--text", default=TEXT, help="text whose loss is computed")
    options = parser.parse_args()
    model = ModelConfig(name="gemma3", source=str(options.folder), gguf_file=options.file, pooling="last")
    ids = np.asarray(load_tokenizer(model)(options.text)["input_ids"], dtype=np.int64)
    ours = Gemma3(options.folder / options.file).losses(ids)
    theirs = loaded_losses(load_backbone(model, "causal_lm").eval(), ids)
    print(f"{len(ids)} tokens; mean loss {ours.mean():.6f} by the file, {theirs.mean():.6f} as lnbench loads it")
    print(f"largest difference of a token: {abs(ours - theirs).max():.2g} nats")
    if not np.allclose(ours, theirs, atol=1e-3):
        raise SystemExit("the losses differ")


if __name__ == "__main__":
    main()
