"""Attention as transformers' "sdpa", with cheap dropout on a CPU, and for several runs at once."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from lnbench.backbone.backbone import role_table
from lnbench.backbone.dropout import drop
from lnbench.backbone.stack import current_stack

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
        if current_stack() is not None:
            folded = _Folded.apply(module, query, key, value, attention_mask, arguments)  # type: ignore[no-untyped-call]
            return folded, None
        return sdpa_attention_forward(module, query, key, value, attention_mask, **arguments)
    causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
    scores = (query * (scaling or query.shape[-1] ** -0.5)) @ key.transpose(-1, -2)
    probabilities = drop(_masked(scores, attention_mask, causal).softmax(-1), dropout)
    return (probabilities @ value).transpose(1, 2).contiguous(), None


def make_mask(*args: Any, **kwargs: Any) -> Tensor | None:
    """A mask function for transformers, that looks whether a batch needs a mask only where that is cheap.

    On a GPU the host would have to wait for the answer; and of the runs of a stack some may need one and others not.
    """
    padding = kwargs.get("attention_mask")
    on_gpu = padding is not None and padding.device.type != "cpu"
    if on_gpu or current_stack() is not None:
        kwargs |= {"allow_is_causal_skip": False, "allow_is_bidirectional_skip": False}
    return sdpa_mask(*args, **kwargs)


def adapt_attention(model: PreTrainedModel) -> None:
    """Makes every attention of `model` go through `attention`; DeBERTa's, which cannot, becomes able to run in bf16."""
    if role_table(model.config).attention is None:
        _keep_scores_in_fp32(model)
        return
    AttentionInterface.register(NAME, attention)
    AttentionMaskInterface.register(NAME, make_mask)
    model.set_attn_implementation(NAME)


class _Fp32(nn.Module):
    """Rounds no more."""

    def forward(self, x: Tensor) -> Tensor:
        return x.float()


def _keep_scores_in_fp32(model: PreTrainedModel) -> None:
    """For DeBERTa, which under autocast fills masked scores with a number too large for bf16 (its v2 does not)."""
    for module in model.modules():
        if getattr(module, "head_logits_proj", module) is None:
            module.head_logits_proj = _Fp32()


class _Folded(Function):
    """Transformers' own attention for a stack, whose runs and rows become one dimension, for which kernels are made."""

    @staticmethod
    def forward(module: nn.Module, *inputs: Any) -> Tensor:
        raise RuntimeError("attention to what all runs of a stack share")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Nothing: autograd sees what `vmap` does."""

    @staticmethod
    def vmap(
        info: Any,
        in_dims: tuple[int | None, ...],
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Tensor | None,
        arguments: dict[str, Any],
    ) -> tuple[Tensor, int]:
        runs = info.batch_size
        query, key, value = (_fold(one, dim, runs) for one, dim in zip((query, key, value), in_dims[1:4], strict=True))
        mask = None if mask is None else _fold(mask, in_dims[4], runs)
        output, _ = sdpa_attention_forward(module, query, key, value, mask, **arguments)
        return output.unflatten(0, (runs, -1)), 0


def _fold(tensor: Tensor, dim: int | None, runs: int) -> Tensor:
    """(runs * B, ...) from B rows of each run, or from rows that the runs share."""
    by_run = tensor.expand(runs, *tensor.shape) if dim is None else tensor.movedim(dim, 0)
    return by_run.flatten(0, 1)


def _masked(scores: Tensor, mask: Tensor | None, causal: bool) -> Tensor:
    """Scores (..., Lq, Lk) with the lowest number where a key must not be seen."""
    if mask is None:
        if not causal or scores.shape[-2] == 1:
            return scores
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
    return scores.masked_fill(~mask, torch.finfo(scores.dtype).min) if mask.dtype == torch.bool else scores + mask
