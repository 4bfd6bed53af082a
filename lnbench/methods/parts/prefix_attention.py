"""Attention with a prefix, plugged into transformers' attention interface.

The prefix joins keys and values after the KV cache has been read and written, so it is never
cached, shifts no position, and works the same in training, in generation and under gradient
checkpointing.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad
from transformers import PreTrainedModel

from lnbench.backbone.attention import attention, use_function
from lnbench.methods.parts import prefix_vectors

NAME = "lnbench_prefix"


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
    return pad(mask, (length, 0), value=visible)


def prefix_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    is_causal: bool | None = None,
    position_bias: Tensor | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """An attention function for transformers: `attention`, with the prefix of `module` if it has one.

    The position bias of the prefix is 0, because it has no positions.
    """
    prefix = getattr(module, prefix_vectors.NAME, None)
    if prefix is not None:
        causal = getattr(module, "is_causal", False) if is_causal is None else is_causal
        prefix_key, prefix_value = prefix()
        gate = getattr(module, prefix_vectors.GATE, None)
        if gate is not None:
            prefix_key, prefix_value = gate.scale(prefix_key, prefix_value)
        length = prefix_key.shape[-2]
        attention_mask = prefix_mask(attention_mask, query, key, length, causal)
        if position_bias is not None:
            position_bias = pad(position_bias, (length, 0))
        key, value = _prepend(prefix_key, key), _prepend(prefix_value, value)
        is_causal = False
    kwargs |= {"is_causal": is_causal, "position_bias": position_bias}
    return attention(module, query, key, value, attention_mask, **kwargs)


def use_prefix_attention(model: PreTrainedModel) -> None:
    """Makes every attention of `model` go through `prefix_attention`."""
    use_function(model, NAME, prefix_attention)
