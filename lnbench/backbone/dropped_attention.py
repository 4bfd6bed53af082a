"""Attention with dropout on a CPU, a few rows of a batch at a time, that keeps little for its backward pass.

The probabilities of long rows are computed again in the backward pass, from queries and keys, to the same bits. Those
of rows with no more tokens than a head has dimensions take no more memory than the queries, and are kept. Of the masks
of dropout, one bit an element is kept. Some rows at a time, all of this happens in the processor's cache. In bf16,
matrix products have factors and results in bf16; all between them is in fp32.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from lnbench.backbone.dropout import Mask, draw, from_bits

AT_ONCE = 2**19
"""Most probabilities that are computed at once, unless one row has more."""


def dropped_attention(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, p: float, scaling: float
) -> Tensor:
    """Attention of which probabilities are dropped.

    Args:
        query: (B, heads, Lq, head size).
        key: (B, heads, Lk, head size).
        value: as `key`.
        mask: (B or 1, 1 or heads, Lq, Lk), bool (true where a key is seen) or additive, without gradient; None: all.
        p: probability of dropout, between 0 and 1.
        scaling: of the products.

    Returns:
        (B, Lq, heads, head size).
    """
    if torch.is_autocast_enabled("cpu"):
        query, key, value = (one.to(torch.get_autocast_dtype("cpu")) for one in (query, key, value))
    with torch.autocast("cpu", enabled=False):
        output: Tensor = _Attention.apply(query, key, value, mask, p, scaling)  # type: ignore[no-untyped-call]
    return output


class _Attention(Function):
    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, p: float, scaling: float
    ) -> Tensor:
        ctx.shape, ctx.p, ctx.scaling = query.shape, p, scaling
        rows, heads, length, size = query.shape
        flat = (_flat(query, scaling), _flat(key.mT), _flat(value))
        kept = draw((rows * heads, length, key.shape[2]), p)
        added = None if mask is None else _added(mask, query.dtype)
        output = query.new_empty(rows, length, heads, size)
        known = []
        for some, (q, k, v) in _chunks(ctx.shape, flat):
            probabilities = _probabilities(q, k, added, some, heads)
            factors = _part(kept, some, heads).factors(probabilities.dtype)
            output[some].copy_(_by_token(factors.mul_(probabilities).to(q.dtype) @ v, heads))
            if key.shape[2] <= size:
                known.append(probabilities)
        if any(ctx.needs_input_grad):
            ctx.save_for_backward(*flat, mask, kept.bits(), *known)
        return output

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, mask, bits, *known = ctx.saved_tensors  # may be read only once under checkpointing
        flat = (query, key, value)
        rows, heads, length, size = ctx.shape
        kept = from_bits(bits, (rows * heads, length, key.shape[2]), ctx.p)
        added = None if mask is None else _added(mask, gradient.dtype)
        seen = mask if mask is not None and mask.dtype == torch.bool else None
        needed = ctx.needs_input_grad[:3]
        found = [
            gradient.new_empty(rows, tokens, heads, size) if wanted else None
            for tokens, wanted in zip((length, key.shape[2], key.shape[2]), needed, strict=True)
        ]
        for number, (some, (q, k, v)) in enumerate(_chunks(ctx.shape, flat)):
            above = _flat(gradient[some].transpose(1, 2))
            probabilities = known[number] if known else _probabilities(q, k, added, some, heads)
            factors = _part(kept, some, heads).factors(probabilities.dtype)
            parts: list[Tensor | None] = [None, None, None]
            if needed[2]:
                parts[2] = (probabilities * factors).to(q.dtype).mT @ above
            if needed[0] or needed[1]:
                by_probability = factors.mul_((above @ v.mT).to(factors.dtype))
                by_score = torch._softmax_backward_data(by_probability, probabilities, -1, probabilities.dtype)
                if seen is not None:
                    by_score.view(-1, heads, *by_score.shape[1:]).mul_(_rows(seen, some))
                by_score = by_score.to(q.dtype)
                parts[0] = (by_score @ k.mT).mul_(ctx.scaling) if needed[0] else None
                parts[1] = (q.mT @ by_score).mT if needed[1] else None
            for whole, part in zip(found, parts, strict=True):
                if whole is not None and part is not None:
                    whole[some].copy_(_by_token(part, heads))
        return *(None if one is None else one.transpose(1, 2) for one in found), None, None, None


def _flat(x: Tensor, scaling: float | None = None) -> Tensor:
    """(B * heads, L, head size) from (B, heads, L, head size), contiguous and scaled."""
    whole = x.new_empty(x.shape).copy_(x)
    return (whole if scaling is None else whole.mul_(scaling)).flatten(0, 1)


def _by_token(x: Tensor, heads: int) -> Tensor:
    """(B, L, heads, head size) from (B * heads, L, head size)."""
    return x.view(-1, heads, *x.shape[1:]).transpose(1, 2)


def _chunks(shape: torch.Size, flat: Any) -> Iterator[tuple[slice, tuple[Tensor, ...]]]:
    """Consecutive rows of a batch, and the part of each of `flat`, (B * heads, ...), that belongs to them."""
    rows, heads, length, _ = shape
    count = -(-rows * heads * length * flat[1].shape[2] // AT_ONCE)
    size = -(-rows // min(rows, count))
    for start in range(0, rows, size):
        yield slice(start, start + size), tuple(one[start * heads : (start + size) * heads] for one in flat)


def _part(mask: Mask, some: slice, heads: int) -> Mask:
    return Mask(mask.kept[some.start * heads : some.stop * heads], mask.scale)


def _added(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """What is added to scores: 0 where a key is seen, and the lowest number where it is not."""
    if mask.dtype != torch.bool:
        return mask
    return torch.zeros(mask.shape, dtype=dtype).masked_fill_(~mask, torch.finfo(dtype).min)


def _rows(mask: Tensor, some: slice) -> Tensor:
    return mask if mask.shape[0] == 1 else mask[some]


def _probabilities(query: Tensor, key: Tensor, added: Tensor | None, some: slice, heads: int) -> Tensor:
    """(rows * heads, Lq, Lk), in fp32 unless queries are in fp64. Keys are (rows * heads, head size, Lk)."""
    scores = query @ key
    if added is not None:
        scores.view(-1, heads, *scores.shape[1:]).add_(_rows(added, some))
    return (scores.float() if scores.dtype == torch.bfloat16 else scores).softmax(-1)
