"""Attention with a prefix, plugged into transformers' attention interface.

The prefix joins keys and values after the KV cache has been read and written, so it is never
cached, shifts no position, and works the same in training, in generation and under gradient
checkpointing.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedConfig, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "lnbench_prefix"


class PrefixKeyValues(nn.Module):
    """The trained keys and values of one layer, each (key-value heads, length, head size)."""

    def __init__(self, config: PreTrainedConfig, length: int, init_std: float) -> None:
        super().__init__()
        heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        self.key = nn.Parameter(torch.empty(heads, length, size).normal_(std=init_std))
        self.value = nn.Parameter(torch.empty(heads, length, size).normal_(std=init_std))

    def prepend(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Puts the prefix before `key` and `value`, each (B, key-value heads, L, head size)."""
        return _prepend(self.key, key), _prepend(self.value, value)


def _prepend(prefix: Tensor, sequence: Tensor) -> Tensor:
    batch = prefix.to(sequence.dtype).expand(sequence.shape[0], -1, -1, -1)
    return torch.cat([batch, sequence], dim=2)


def prefix_mask(mask: Tensor | None, query: Tensor, key: Tensor, length: int, causal: bool) -> Tensor | None:
    """The attention mask over prefix and text; every query sees the whole prefix.

    Args:
        mask: (B or 1, 1, Lq, Lk), bool or additive; None when the text itself needs no mask but
            causality, which then counts both queries and keys from the first one.
        query: (B, heads, Lq, head size).
        key: (B, key-value heads, Lk, head size), without the prefix.
        length: P, the number of prefix vectors.
        causal: whether a query sees no later key.

    Returns:
        (B or 1, 1, Lq, P + Lk), or None when every query sees every key.
    """
    queries, keys = query.shape[2], key.shape[2]
    if mask is None:
        if not causal or queries == 1:
            return None
        mask = torch.ones(queries, keys, dtype=torch.bool, device=query.device).tril()[None, None]
    visible = 1.0 if mask.dtype == torch.bool else 0.0
    return F.pad(mask, (length, 0), value=visible)


def prefix_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    is_causal: bool | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """An attention function for transformers: as "sdpa", and with a prefix where `module` has one."""
    prefix = getattr(module, "prefix", None)
    if prefix is not None:
        causal = getattr(module, "is_causal", False) if is_causal is None else is_causal
        attention_mask = prefix_mask(attention_mask, query, key, prefix.key.shape[1], causal)
        key, value = prefix.prepend(key, value)
        is_causal = False
    return sdpa_attention_forward(module, query, key, value, attention_mask, is_causal=is_causal, **kwargs)


def use_prefix_attention(model: PreTrainedModel) -> None:
    """Makes every attention of `model` go through `prefix_attention`."""
    AttentionInterface.register(NAME, prefix_attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    model.set_attn_implementation(NAME)
