"""Attention as transformers' "sdpa", with cheap dropout on a CPU, where torch has no fused kernel that drops."""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from lnbench.backbone.dropout import factors

NAME = "lnbench"


def attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """An attention function for transformers.

    Args:
        module: that attends.
        query: (B, heads, Lq, head size).
        key: (B, key-value heads, Lk, head size).
        value: as `key`.
        attention_mask: (B or 1, 1, Lq, Lk), bool or additive; None: all keys, or those before where it is causal.
        dropout: of the attention probabilities.
        scaling: of the products; None: 1 / sqrt(head size).
        is_causal: whether a missing mask means a causal one; None: as `module.is_causal` says.
        kwargs: for transformers' own function.

    Returns:
        (B, Lq, heads, head size), and no probabilities.
    """
    if dropout == 0 or query.device.type != "cpu" or query.shape[1] != key.shape[1]:
        arguments = {"dropout": dropout, "scaling": scaling, "is_causal": is_causal, **kwargs}
        return sdpa_attention_forward(module, query, key, value, attention_mask, **arguments)
    causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
    scores = (query * (scaling or query.shape[-1] ** -0.5)) @ key.transpose(-1, -2)
    probabilities = _masked(scores, attention_mask, causal).softmax(-1)
    probabilities = probabilities * factors(probabilities.shape, dropout).to(probabilities.dtype)
    return (probabilities @ value).transpose(1, 2).contiguous(), None


def use_own_attention(model: PreTrainedModel) -> None:
    """Makes every attention of `model` go through `attention`."""
    AttentionInterface.register(NAME, attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    model.set_attn_implementation(NAME)


def _masked(scores: Tensor, mask: Tensor | None, causal: bool) -> Tensor:
    """Scores (..., Lq, Lk) with the lowest number where a key must not be seen."""
    if mask is None:
        if not causal or scores.shape[-2] == 1:
            return scores
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
    return scores.masked_fill(~mask, torch.finfo(scores.dtype).min) if mask.dtype == torch.bool else scores + mask
