from types import SimpleNamespace

import pytest
import torch

from lnbench.tasks.heads import SentenceHead, TokenHead

MASK = torch.tensor([[1, 1, 1], [1, 1, 0]])


def output(**more: torch.Tensor) -> SimpleNamespace:
    hidden = torch.arange(12.0).reshape(2, 3, 2)
    hidden[1, 2] = 1000.0  # padding
    return SimpleNamespace(last_hidden_state=hidden, **more)


def identity_head(pooling: str) -> SentenceHead:
    head = SentenceHead(2, 2, pooling, dropout=0.0)
    with torch.no_grad():
        head.classifier.weight.copy_(torch.eye(2))
    return head


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        ("mean", [[2.0, 3.0], [7.0, 8.0]]),
        ("first", [[0.0, 1.0], [6.0, 7.0]]),
        ("last", [[4.0, 5.0], [8.0, 9.0]]),
        ("pooler", [[-1.0, -2.0], [-3.0, -4.0]]),
    ],
)
def test_pooling_never_sees_padding(pooling: str, expected: list[list[float]]) -> None:
    logits = identity_head(pooling)(output(pooler_output=torch.tensor([[-1.0, -2.0], [-3.0, -4.0]])), MASK)
    torch.testing.assert_close(logits, torch.tensor(expected))


def test_a_missing_pooler_and_an_unknown_pooling_are_named() -> None:
    with pytest.raises(ValueError, match="has no pooler; choose mean, first or last"):
        identity_head("pooler")(output(), MASK)
    with pytest.raises(ValueError, match="pooling = 'max': must be one of mean, first, last, pooler"):
        SentenceHead(2, 2, "max", 0.0)


def test_dropout_acts_in_training_only() -> None:
    head = SentenceHead(2, 2, "first", dropout=0.999999)
    assert head(output(), MASK).abs().max() == 0
    assert head.eval()(output(), MASK).abs().max() > 0


def test_a_token_head_classifies_every_token() -> None:
    head = TokenHead(2, 3, dropout=0.0)
    logits = head(output(), MASK)
    assert logits.shape == (2, 3, 3)
    torch.testing.assert_close(logits[1, 1], head.classifier(output().last_hidden_state[1, 1]))
