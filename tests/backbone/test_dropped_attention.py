"""Attention a few rows at a time, which keeps bits of masks, against the same formula under autograd."""

import pytest
import torch
from torch import Tensor

from lnbench.backbone import dropped_attention as own
from lnbench.backbone.dropout import factors
from lnbench.backbone.dropped_attention import dropped_attention

B, HEADS, L, SIZE, P, SCALING = 5, 2, 6, 4, 0.25, 0.3
LENGTHS = torch.tensor([6, 4, 1, 6, 3])
SEEN = (torch.arange(L) < LENGTHS[:, None])[:, None, None].expand(B, 1, L, L)
MASKS = {
    "none": None,
    "padding": SEEN,
    "nothing seen by some": SEEN & torch.ones(L, L, dtype=torch.bool).triu(1),
    "one for all rows": torch.ones(1, 1, L, L, dtype=torch.bool).tril(),
    "additive": torch.randn(B, HEADS, L, L, generator=torch.Generator().manual_seed(0), dtype=torch.float64),
}


def by_autograd(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    scores = (query * SCALING) @ key.mT
    if mask is not None:
        lowest = torch.finfo(scores.dtype).min
        scores = scores.masked_fill(~mask, lowest) if mask.dtype == torch.bool else scores + mask
    return ((scores.softmax(-1) * factors(scores.shape, P)) @ value).transpose(1, 2)


def inputs(queries: int, size: int, dtype: torch.dtype) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    shapes = ((B, length, HEADS, size) for length in (queries, L, L))
    return [torch.randn(shape, generator=generator).to(dtype).requires_grad_() for shape in shapes]


def outcome(by_own: bool, given: list[Tensor], mask: Tensor | None) -> list[Tensor]:
    """Output and gradients."""
    torch.manual_seed(0)
    query, key, value = (one.transpose(1, 2) for one in given)
    output = dropped_attention(query, key, value, mask, P, SCALING) if by_own else by_autograd(query, key, value, mask)
    weights = torch.randn(output.shape, generator=torch.Generator().manual_seed(2)).to(output.dtype)
    return [output, *torch.autograd.grad(output, given, weights)]


@pytest.mark.parametrize("at_once", [1, 2**18], ids=["row by row", "all rows"])
@pytest.mark.parametrize("size", [SIZE, 2 * L], ids=["computed again", "kept"])
@pytest.mark.parametrize("mask", MASKS)
def test_output_and_gradients_are_those_of_the_formula(
    mask: str, size: int, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own, "AT_ONCE", at_once)
    given, seen = inputs(L, size, torch.float64), MASKS[mask]
    for found, expected in zip(outcome(True, given, seen), outcome(False, given, seen), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_queries_may_be_fewer_than_keys() -> None:
    given = inputs(2, SIZE, torch.float64)
    for found, expected in zip(outcome(True, given, None), outcome(False, given, None), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("size", [SIZE, 2 * L], ids=["computed again", "kept"])
def test_bf16_rounds_the_results_of_products_alone(size: int) -> None:
    given = inputs(L, size, torch.bfloat16)
    exact = [one.detach().float().requires_grad_() for one in given]
    for found, expected in zip(outcome(True, given, SEEN), outcome(False, exact, SEEN), strict=True):
        assert found.dtype == torch.bfloat16
        torch.testing.assert_close(found.float(), expected, rtol=0.03, atol=0.03)


@pytest.mark.parametrize("scaling", [None, SCALING])
def test_inputs_are_contiguous_in_a_compiled_model_too(scaling: float | None) -> None:
    # torch 2.13: in a compiled function, out= takes the layout of the input instead of the buffer's.
    given = torch.randn(B, L, HEADS, SIZE).transpose(1, 2)
    compiled = torch.compile(own._flat, backend="aot_eager")(given, scaling)
    assert compiled.is_contiguous()
    assert compiled.equal(given.reshape(B * HEADS, L, SIZE) * (scaling or 1))


@pytest.mark.parametrize("size", [8, 32, 64])
@pytest.mark.parametrize("length", [1, 3, 4, 7, 11, 12, 31, 70])
def test_in_fp32_all_bits_are_those_of_the_formula(length: int, size: int) -> None:
    """Published runs are compared bit by bit, and products of short texts depend on how a factor lies in memory."""
    generator = torch.Generator().manual_seed(length)
    given = [torch.randn(B, length, HEADS, size, generator=generator).requires_grad_() for _ in range(3)]
    seen = (torch.arange(length) < LENGTHS[:, None])[:, None, None].expand(B, 1, length, length)
    for mask in (None, seen):
        for found, expected in zip(outcome(True, given, mask), outcome(False, given, mask), strict=True):
            assert torch.equal(found, expected)
