"""Cheap dropout, against the properties of torch's own."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from lnbench.backbone.dropout import LEVELS, Dropout, factors, make_dropout_cheap
from tests.tiny import tiny

SHAPE = (64, 25, 40)
SIZE = math.prod(SHAPE)


@pytest.mark.parametrize("p", [0.05, 0.1, 0.5, 0.9])
def test_as_many_are_dropped_as_chance_would_have_it(p: float) -> None:
    torch.manual_seed(0)
    drawn = factors(SHAPE, p)
    assert drawn.shape == SHAPE
    assert drawn.dtype == torch.float32
    dropped, kept = drawn.unique().tolist()
    assert dropped == 0
    assert kept == pytest.approx(1 / (1 - p), rel=1 / (1 - p) / LEVELS)
    deviation = math.sqrt(p * (1 - p) / SIZE)
    assert abs((drawn == 0).float().mean().item() - p) < 5 * deviation
    assert abs(drawn.mean().item() - 1) < 5 * deviation / (1 - p)


def test_elements_are_independent_of_their_neighbours_and_of_other_draws() -> None:
    torch.manual_seed(0)
    one, other = ((factors((SIZE,), 0.5) == 0).numpy() for _ in range(2))
    pairs = [(one, other), *((one[lag:], one[:-lag]) for lag in (1, 2, 3, 4, 8, 64))]
    for left, right in pairs:
        assert abs(np.corrcoef(left, right)[0, 1]) < 5 / math.sqrt(SIZE)


def test_the_seed_of_torch_decides() -> None:
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(factors(SHAPE, 0.1))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_a_probability_next_to_one_drops_no_more_than_it_can_scale() -> None:
    assert factors(SHAPE, 1 - 1e-9).isfinite().all()


def test_gradients_pass_where_values_do() -> None:
    x = torch.ones(SHAPE, requires_grad=True)
    y = Dropout(0.1)(x)
    y.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, y.detach())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_one_bit_an_element_is_kept_for_the_backward_pass(dtype: torch.dtype) -> None:
    x = torch.randn(SHAPE).to(dtype).requires_grad_()
    sizes: list[int] = []

    def keep(tensor: Tensor) -> Tensor:
        sizes.append(tensor.nbytes)
        return tensor

    torch.manual_seed(0)
    with saved_tensors_hooks(keep, lambda tensor: tensor):
        y = Dropout(0.1)(x)
    torch.manual_seed(0)
    expected = factors(SHAPE, 0.1)
    (gradient,) = torch.autograd.grad(y, x, torch.full_like(y, 2))
    assert sum(sizes) == SIZE / 8
    assert torch.equal(y, (x * expected).to(dtype))
    assert torch.equal(gradient, (2 * expected).to(dtype))


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_all_or_nothing_is_as_torch_does_it(p: float) -> None:
    x = torch.randn(SHAPE)
    assert torch.equal(Dropout(p)(x), nn.Dropout(p)(x))


def test_evaluation_drops_nothing() -> None:
    x = torch.randn(SHAPE)
    assert Dropout(0.5).eval()(x) is x


def test_half_precision_stays() -> None:
    assert Dropout(0.5)(torch.ones(SHAPE, dtype=torch.bfloat16)).dtype == torch.bfloat16


@pytest.mark.parametrize("architecture", ["bert", "gpt2", "distilbert", "deberta_v2"])
def test_a_model_keeps_its_probabilities(architecture: str) -> None:
    model = tiny(architecture)
    before = [module.p for module in model.modules() if isinstance(module, nn.Dropout)]
    make_dropout_cheap(model)
    after = [module for module in model.modules() if isinstance(module, nn.Dropout)]
    assert before
    assert [module.p for module in after] == before
    assert all(type(module) is Dropout for module in after)
    assert all(module.training == model.training for module in after)
