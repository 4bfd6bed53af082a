"""Attention with cheap dropout, against transformers' own and the formula."""

import pytest
import torch
from torch import Tensor, nn
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from lnbench.backbone import attention as own
from lnbench.backbone.attention import adapt_attention, attention
from lnbench.backbone.dropout import factors
from tests.tiny import EVERY_ARCHITECTURE, batch, hidden, tiny

B, HEADS, L, SIZE = 3, 4, 7, 8
P = 0.25
CAUSAL = torch.ones(L, L, dtype=torch.bool).tril()
PADDED = torch.arange(L) < torch.tensor([7, 4, 1])[:, None]
MASKS = {
    "none": None,
    "padding": PADDED[:, None, None].expand(B, 1, L, L),
    "causal and padding": CAUSAL & PADDED[:, None, None],
    "additive": torch.randn(B, 1, L, L, generator=torch.Generator().manual_seed(0)),
}


class Module(nn.Module):
    def __init__(self, is_causal: bool) -> None:
        super().__init__()
        self.is_causal = is_causal


def _inputs() -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(B, HEADS, L, SIZE, generator=generator, requires_grad=True) for _ in range(3)]


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("scaling", [None, 0.3])
def test_when_nothing_is_dropped_it_equals_transformers(
    mask: str, causal: bool, scaling: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own, "drop", lambda x, p: x)
    query, key, value = _inputs()
    ours, _ = attention(Module(causal), query, key, value, MASKS[mask], dropout=P, scaling=scaling)
    theirs, _ = sdpa_attention_forward(Module(causal), query, key, value, MASKS[mask], scaling=scaling)
    torch.testing.assert_close(ours, theirs)
    weights = torch.randn_like(theirs)
    gradients = (torch.autograd.grad(output, (query, key, value), weights) for output in (ours, theirs))
    for own_gradient, their_gradient in zip(*gradients, strict=True):
        torch.testing.assert_close(own_gradient, their_gradient)


def test_probabilities_are_dropped_by_the_formula() -> None:
    query, key, value = _inputs()
    torch.manual_seed(0)
    output, _ = attention(Module(False), query, key, value, None, dropout=P)
    torch.manual_seed(0)
    kept = factors((B, HEADS, L, L), P)
    expected = torch.einsum("bhqk,bhkd->bqhd", (query @ key.mT / SIZE**0.5).softmax(-1) * kept, value)
    torch.testing.assert_close(output, expected)


def test_one_query_sees_all_keys_before_it() -> None:
    query, key, value = _inputs()
    output = attention(Module(True), query[:, :, -1:], key, value, None, dropout=1e-9)[0]
    torch.testing.assert_close(output, sdpa_attention_forward(Module(True), query[:, :, -1:], key, value, None)[0])


@pytest.mark.parametrize("architecture", ["bert", "gpt2", "opt", "gpt_neox", "llama", "distilbert"])
def test_a_model_in_evaluation_is_the_same(architecture: str) -> None:
    model, inputs = tiny(architecture).eval(), batch()
    before = hidden(model, inputs)
    adapt_attention(model)
    assert torch.equal(hidden(model, inputs), before)


@pytest.mark.parametrize("architecture", EVERY_ARCHITECTURE)
def test_every_architecture_computes_in_bf16(architecture: str) -> None:
    model, inputs = tiny(architecture).eval(), batch()
    adapt_attention(model)
    expected = hidden(model, inputs)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(hidden(model, inputs).float(), expected, atol=0.05, rtol=0.05)
