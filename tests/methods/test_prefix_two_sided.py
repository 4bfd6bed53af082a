"""A prefix in the three attentions of an encoder-decoder, against attention by hand."""

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lnbench.backbone.backbone import Backbone, views
from lnbench.methods.parts import prefix_attention
from lnbench.methods.parts.prefix_vectors import NAME, GeneratedKeyValues, fold_prefixes
from tests.tiny import (
    DECODER_LAYERS,
    ENCODER_LAYERS,
    HEADS,
    TWO_SIDED,
    batch,
    part,
    shake,
    tiny,
    tiny_generator,
    trained,
    tune,
    two_texts,
)

LENGTH = 5
on_all = pytest.mark.parametrize("architecture", sorted(TWO_SIDED))


def with_prefix(model: Any, **settings: Any) -> Any:
    tune(model, {"prefix": part("prefix", length=LENGTH, **settings)})
    shake(model, scale=1.0)
    return model


def by_hand(view: Backbone, crosses: bool, layer: int, module: Any, *given: Any, **inputs: Any) -> Any:
    """softmax([q P_K^T; q k^T + bias + mask]) [P_V; v], from the paper's formula, with a mask made from lengths."""
    query, key, value, output = (
        view.linear_maps(name, layer)[int(crosses)].layer for name in ("query", "key", "value", "mha_output")
    )
    states: Tensor = given[0] if given else inputs["hidden_states"]
    source = inputs["key_value_states"] if crosses else states
    q, k, v = (
        one(x).unflatten(-1, (view.heads, -1)).transpose(1, 2)
        for one, x in ((query, states), (key, source), (value, source))
    )
    prefix_key, prefix_value = module.get_submodule(NAME)()
    t5 = hasattr(module, "n_heads")
    scale = 1.0 if t5 else q.shape[-1] ** -0.5
    scores = scale * torch.einsum("bhqd,bhkd->bhqk", q, k)
    if t5 and not crosses:
        first = view.blocks[0].get_submodule("layer.0.SelfAttention")
        scores = scores + first.compute_bias(q.shape[2], k.shape[2])  # type: ignore[operator]
    visible = torch.ones_like(scores, dtype=torch.bool)
    if crosses or view.side == "encoder":
        visible = visible & batch()["attention_mask"].bool()[:, None, None]
    else:
        visible = visible.tril()
    scores = scores.masked_fill(~visible, -torch.inf)
    before = scale * torch.einsum("bhqd,hpd->bhqp", q, prefix_key)
    probabilities = torch.cat([before, scores], dim=-1).softmax(-1)
    attended = torch.einsum("bhqp,hpd->bhqd", probabilities[..., :LENGTH], prefix_value)
    attended = attended + probabilities[..., LENGTH:] @ v
    result = output(attended.transpose(1, 2).flatten(2))
    return (result, inputs.get("position_bias"), None) if t5 else (result, None)


def make_by_hand(model: nn.Module) -> None:
    for view in views(model):  # type: ignore[arg-type]
        for layer in range(view.num_layers):
            for crosses, module in enumerate(view.attentions(layer)):
                module.forward = partial(by_hand, view, bool(crosses), layer, module)


@on_all
def test_outputs_and_gradients_are_those_of_attention_by_hand(architecture: str) -> None:
    model = with_prefix(tiny_generator(architecture)).double()
    model.requires_grad_(True)

    def observe() -> tuple[Tensor, dict[str, Tensor]]:
        model.zero_grad()
        found = model(**two_texts()).logits
        found.pow(2).mean().backward()
        return found, {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}

    logits, gradients = observe()
    make_by_hand(model)
    expected, theirs = observe()
    torch.testing.assert_close(logits, expected)
    assert gradients.keys() == theirs.keys()
    torch.testing.assert_close(gradients, theirs)
    places = [name for name in gradients if f".{NAME}." in name and gradients[name].abs().sum() > 0]
    assert len(places) == 2 * (ENCODER_LAYERS + 2 * DECODER_LAYERS)


@on_all
def test_a_prefix_that_nobody_sees_is_no_prefix(architecture: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = with_prefix(tiny(architecture))
    expected = tiny(architecture)(**two_texts()).last_hidden_state
    assert (model(**two_texts()).last_hidden_state - expected).abs().max() > 0.1
    visible = prefix_attention.prefix_mask

    def blocked(mask: Tensor | None, query: Tensor, key: Tensor, length: int, causal: bool) -> Tensor:
        seen = visible(mask, query, key, length, causal)
        if seen is None:
            seen = torch.ones(1, 1, query.shape[2], length + key.shape[2], dtype=torch.bool)
        return torch.cat([torch.zeros_like(seen[..., :length]), seen[..., length:]], dim=-1)

    monkeypatch.setattr(prefix_attention, "prefix_mask", blocked)
    torch.testing.assert_close(model(**two_texts()).last_hidden_state, expected, rtol=0, atol=1e-4)


@on_all
def test_padding_of_sources_and_later_tokens_stay_invisible(architecture: str) -> None:
    model = with_prefix(tiny(architecture))
    short = two_texts((4,))
    padded = {**short, **{name: nn.functional.pad(short[name], (0, 3)) for name in ("input_ids", "attention_mask")}}
    whole = model(**short).last_hidden_state
    torch.testing.assert_close(model(**padded).last_hidden_state, whole, rtol=0, atol=1e-4)
    start = {**short, "decoder_input_ids": short["decoder_input_ids"][:, :3]}
    torch.testing.assert_close(model(**start).last_hidden_state, whole[:, :3], rtol=0, atol=1e-4)


def test_the_prefix_never_enters_a_cache() -> None:
    model = with_prefix(tiny_generator("t5"))
    cache = model(**two_texts((7,), written=3), use_cache=True).past_key_values
    assert cache.self_attention_cache.layers[0].keys.shape == (1, HEADS, 3, 6)
    assert cache.cross_attention_cache.layers[0].keys.shape == (1, HEADS, 7, 6)


@pytest.mark.parametrize("architecture", ["bart", "t5"])
def test_each_side_has_an_mlp_of_its_own_and_folding_drops_both(architecture: str) -> None:
    model = with_prefix(tiny(architecture), mlp_size=6)
    prefixes = [module for module in model.modules() if isinstance(module, GeneratedKeyValues)]
    assert len(prefixes) == ENCODER_LAYERS + 2 * DECODER_LAYERS
    model(**two_texts()).last_hidden_state.pow(2).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in trained(model).values())
    expected = model(**two_texts()).last_hidden_state
    fold_prefixes(model)
    torch.testing.assert_close(model(**two_texts()).last_hidden_state, expected, rtol=0, atol=1e-5)
    assert set(model.state_dict()) == set(with_prefix(tiny(architecture)).state_dict())
