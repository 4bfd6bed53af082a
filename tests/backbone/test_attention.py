"""Attention with cheap dropout, against transformers' own and the formula."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from lnbench.backbone import attention as own
from lnbench.backbone import dropped_attention
from lnbench.backbone.attention import adapt_attention, attention
from lnbench.backbone.dropout import Mask, factors
from lnbench.core.schema import ConfigError
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


COMPUTED = {"gemma2", "mpnet"}
"""Architectures whose attention transformers computes product by product, and torch or lnbench at once."""


class Module(nn.Module):
    def __init__(self, is_causal: bool, num_key_value_groups: int = 1) -> None:
        super().__init__()
        self.is_causal = is_causal
        self.num_key_value_groups = num_key_value_groups


def all_kept(shape: Sequence[int], p: float) -> Mask:
    return Mask(torch.ones(tuple(shape), dtype=torch.uint8), 1)


def drop_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes masks that keep all."""
    monkeypatch.setattr(own, "drop", lambda x, p: x)
    monkeypatch.setattr(dropped_attention, "draw", all_kept)
    monkeypatch.setattr(dropped_attention, "from_bits", lambda bits, shape, p: all_kept(shape, p))


def _inputs() -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(B, HEADS, L, SIZE, generator=generator, requires_grad=True) for _ in range(3)]


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("scaling", [None, 0.3])
def test_when_nothing_is_dropped_it_equals_transformers(
    mask: str, causal: bool, scaling: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop_nothing(monkeypatch)
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


BIAS = torch.randn(1, HEADS, L, L, generator=torch.Generator().manual_seed(2))
SINKS = torch.tensor([0.5, -1.0, 2.0, 0.0])
KEYWORDS: dict[str, dict[str, Any]] = {
    "position bias": {"position_bias": BIAS},
    "soft cap": {"softcap": 1.5},
    "sinks": {"s_aux": SINKS},
    "window": {"sliding_window": 2},
    "all": {"position_bias": BIAS, "softcap": 1.5, "s_aux": SINKS, "scaling": 0.3},
}


def by_formula(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor,
    scaling: float = SIZE**-0.5,
    softcap: float | None = None,
    position_bias: Tensor | None = None,
    s_aux: Tensor | None = None,
    sliding_window: int | None = None,
) -> Tensor:
    """Attention as its definition says, (B, Lq, heads, size), with a bool mask, in which a window lies."""
    weights = (torch.einsum("bhqd,bhkd->bhqk", query, key) * scaling).double()
    if softcap is not None:
        weights = softcap * torch.tanh(weights / softcap)
    weights = (weights + (0 if position_bias is None else position_bias)).exp() * mask
    sinks = 0 if s_aux is None else s_aux.double().exp()[:, None, None]
    total = weights.sum(dim=-1, keepdim=True) + sinks
    return torch.einsum("bhqk,bhkd->bqhd", weights / total, value.double()).float()


@pytest.mark.parametrize("dropout", [0.0, P])
@pytest.mark.parametrize("keywords", KEYWORDS)
@pytest.mark.parametrize("shared", [1, 2])
def test_every_keyword_is_honoured(keywords: str, dropout: float, shared: int, monkeypatch: pytest.MonkeyPatch) -> None:
    drop_nothing(monkeypatch)
    if dropout and shared > 1 and keywords in ("position bias", "window"):
        dropout = 0.0  # is torch's own then, which cannot be stopped
    query, key, value = _inputs()
    key, value = key[:, ::shared], value[:, ::shared]
    module, mask, settings = Module(True, shared), CAUSAL & PADDED[:, None, None], KEYWORDS[keywords]
    found, _ = attention(module, query, key, value, mask, dropout=dropout, **settings)
    wide_key, wide_value = (one.repeat_interleave(shared, dim=1) for one in (key, value))
    expected = by_formula(query, wide_key, wide_value, mask, **settings)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    inputs = _gradients(found, query, key, value), _gradients(expected, query, key, value)
    for one, other in zip(*inputs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def _gradients(output: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(output.square().sum(), inputs, retain_graph=True)


@pytest.mark.parametrize("architecture", ["bert", "gemma2", "mpnet", "modernbert"])
def test_attention_that_does_not_call_the_function_is_noticed(
    architecture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny(architecture)
    monkeypatch.setattr(own, "route_mpnet", lambda *_: architecture == "mpnet")
    monkeypatch.setattr(type(model), "set_attn_implementation", lambda *_: None)
    kind = model.config.model_type
    with pytest.raises(ConfigError, match=f"'{kind}' does not go through .* in the layers 1, 2, 3, although"):
        adapt_attention(model)


def test_looking_whether_the_function_is_called_leaves_no_trace() -> None:
    model = tiny("opt").train()
    model.decoder.layers[0].eval()
    before = {module: module.training for module in model.modules()}
    state = torch.get_rng_state()
    adapt_attention(model)
    assert {module: module.training for module in model.modules()} == before
    assert torch.equal(torch.get_rng_state(), state)


def test_models_that_are_adapted_at_once_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a thread makes a model while another one computes."""
    inner, outer = tiny("gpt2"), tiny("bert")
    adapt_attention(inner)
    look = own._look_at_two_tokens

    def both(model: PreTrainedModel) -> None:
        with ThreadPoolExecutor(1) as other:
            other.submit(hidden, inner, batch()).result()
            other.submit(adapt_attention, tiny("opt")).result() if model is outer else None
        look(model)

    monkeypatch.setattr(own, "_look_at_two_tokens", both)
    adapt_attention(outer)
    assert hidden(outer, batch()).isfinite().all()


def test_one_query_sees_all_keys_before_it() -> None:
    query, key, value = _inputs()
    output = attention(Module(True), query[:, :, -1:], key, value, None, dropout=1e-9)[0]
    torch.testing.assert_close(output, sdpa_attention_forward(Module(True), query[:, :, -1:], key, value, None)[0])


@pytest.mark.parametrize("architecture", EVERY_ARCHITECTURE)
def test_a_model_in_evaluation_is_the_same(architecture: str) -> None:
    model, inputs = tiny(architecture).eval(), batch()
    before = hidden(model, inputs)
    adapt_attention(model)
    torch.testing.assert_close(hidden(model, inputs), before, rtol=0, atol=5e-6 if architecture in COMPUTED else 0)


@pytest.mark.parametrize("architecture", EVERY_ARCHITECTURE)
def test_every_architecture_computes_in_bf16(architecture: str) -> None:
    model, inputs = tiny(architecture).eval(), batch()
    adapt_attention(model)
    expected = hidden(model, inputs)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(hidden(model, inputs).float(), expected, atol=0.05, rtol=0.05)
