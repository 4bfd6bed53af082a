from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch

from lnbench.tasks.parts.heads import Head, SentenceHead, TokenHead

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


def measured(head: Head, states: torch.Tensor) -> Head:
    """The head, for states (N, D) like these."""
    head.standardise(states.mean(dim=0), states.std(dim=0, correction=0))
    return head.eval()


def output_of(states: torch.Tensor) -> SimpleNamespace:
    """Of rows of one token."""
    return SimpleNamespace(last_hidden_state=states.unsqueeze(1))


@pytest.mark.parametrize("new_head", [lambda: SentenceHead(4, 3, "mean", 0.1), lambda: TokenHead(4, 3, 0.1)])
@pytest.mark.parametrize("size", [1e-3, 1e3])
def test_logits_depend_on_no_scale_and_no_offset_of_the_states(new_head: Callable[[], Head], size: float) -> None:
    states, mask = torch.randn(20, 4, generator=torch.Generator().manual_seed(0)), torch.ones(20, 1)
    scales, offsets = size * torch.tensor([1.0, 0.5, 3.0, 2.0]), size * torch.tensor([0.0, 5.0, -200.0, 1.0])
    head, other = new_head(), new_head()
    other.load_state_dict(head.state_dict())
    expected = measured(head, states)(output_of(states), mask)
    moved = states * scales + offsets
    found = measured(other, moved)(output_of(moved), mask)
    assert expected.std() > 0
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4 * expected.abs().max().item())


def test_a_feature_that_hardly_varies_is_not_blown_up() -> None:
    head = SentenceHead(4, 2, "mean", 0.0)
    head.standardise(torch.zeros(4), torch.tensor([1.0, 1.0, 2.0, 1e-33]))
    torch.testing.assert_close(head.scale, torch.tensor([1.0, 1.0, 2.0, 0.1]))


@pytest.mark.parametrize("mean", [0.0, 7.0])
def test_equal_rows_are_not_scaled(mean: float) -> None:
    head = SentenceHead(4, 2, "mean", 0.0)
    head.standardise(torch.full((4,), mean), torch.full((4,), 1e-7 * mean))
    assert torch.equal(head.scale, torch.ones(4))
    assert torch.equal(head.mean, torch.full((4,), mean))


def test_only_text_counts_in_what_a_head_has_read() -> None:
    sentences, tokens = SentenceHead(2, 2, "mean", 0.0), TokenHead(2, 2, 0.0)
    assert sentences.read(output(), MASK).tolist() == [[2.0, 3.0], [7.0, 8.0]]
    assert tokens.read(output(), MASK).tolist() == [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0], [6.0, 7.0], [8.0, 9.0]]


def test_one_linear_layer_does_the_same() -> None:
    head = SentenceHead(2, 3, "mean", 0.1).eval()
    head.standardise(torch.tensor([4.0, -60.0]), torch.tensor([0.02, 9.0]))
    states = torch.randn(5, 2)
    torch.testing.assert_close(head.folded()(states), head(output_of(states), torch.ones(5, 1)), rtol=0, atol=1e-5)


def test_standardising_stays_exact_in_bf16() -> None:
    """Where the offset of a feature is large, bf16 has no digits left for what tells rows apart."""
    states = 200 + torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
    head = measured(SentenceHead(4, 2, "mean", 0.0), states)
    exact = head(output_of(states), torch.ones(64, 1))
    with torch.autocast("cpu", torch.bfloat16):
        rounded = head(output_of(states), torch.ones(64, 1))
    assert (rounded - exact).abs().max() < 0.02 * exact.abs().max()
