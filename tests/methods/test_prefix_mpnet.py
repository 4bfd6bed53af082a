"""A prefix in MPNet's attention, which has a bias for distances and which transformers computes by itself."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from lnbench.backbone.attention import adapt_attention
from lnbench.backbone.mpnet import RoutedAttention
from tests.tiny import HEADS, HIDDEN, batch, hidden, part, shake, tiny, trained, tune

LENGTH, SIZE = 5, HIDDEN // HEADS


def with_prefix(seed: int = 0) -> PreTrainedModel:
    model = tiny("mpnet", seed)
    tune(model, {"prefix": part("prefix", length=LENGTH)})
    shake(model, scale=1.0)
    return model


def by_hand(model: Any, inputs: dict[str, Tensor]) -> Tensor:
    """The last hidden states, computed without any attention of transformers or lnbench."""
    states = model.embeddings(inputs["input_ids"])
    bias = model.encoder.compute_position_bias(states)
    rows = len(states)
    seen = torch.cat([torch.ones(rows, LENGTH, dtype=torch.bool), inputs["attention_mask"].bool()], dim=1)
    for block in model.encoder.layer:
        attention = block.attention.attn
        query, key, value = (heads(layer(states)) for layer in (attention.q, attention.k, attention.v))
        prefix = attention.prefix
        keys = torch.cat([prefix.key.expand(rows, -1, -1, -1), key], dim=2)
        values = torch.cat([prefix.value.expand(rows, -1, -1, -1), value], dim=2)
        scores = query @ keys.mT / math.sqrt(SIZE)
        scores = torch.cat([scores[..., :LENGTH], scores[..., LENGTH:] + bias], dim=-1)
        probabilities = scores.masked_fill(~seen[:, None, None], -math.inf).softmax(dim=-1)
        attended = (probabilities @ values).transpose(1, 2).flatten(2)
        summed = block.attention.LayerNorm(attention.o(attended) + states)
        states = block.output(block.intermediate(summed), summed)
    real: Tensor = states[inputs["attention_mask"].bool()]
    return real


def heads(states: Tensor) -> Tensor:
    """(B, L, hidden size) to (B, heads, L, head size)."""
    split: Tensor = states.unflatten(-1, (HEADS, SIZE)).transpose(1, 2)
    return split


@pytest.mark.parametrize("lengths", [(7, 4), (6, 6), (40, 3)])
def test_outputs_and_gradients_are_those_of_attention_by_hand(lengths: tuple[int, ...]) -> None:
    ours, theirs, inputs = with_prefix().double(), with_prefix().double(), batch(lengths)
    outputs = hidden(ours, inputs), by_hand(theirs, inputs)
    torch.testing.assert_close(*outputs, rtol=0, atol=1e-9)
    for output in outputs:
        output.pow(3).sum().backward()
    for name, parameter in trained(ours).items():
        assert parameter.grad is not None
        torch.testing.assert_close(parameter.grad, theirs.get_parameter(name).grad, rtol=1e-8, atol=1e-9)


def test_with_dropout_the_bias_counts_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lnbench.backbone.attention.drop", lambda x, p: x)
    model, inputs = with_prefix().train(), batch()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        if isinstance(module, RoutedAttention):
            module.dropout.p = 0.1
    torch.testing.assert_close(hidden(model, inputs), by_hand(with_prefix(), inputs), rtol=0, atol=1e-5)


def test_no_other_model_is_changed() -> None:
    adapted, plain = tiny("mpnet"), tiny("mpnet")
    adapt_attention(adapted)
    assert any(isinstance(module, RoutedAttention) for module in adapted.modules())
    assert not any(isinstance(module, RoutedAttention) for module in plain.modules())
    assert plain.config._attn_implementation == "eager"
