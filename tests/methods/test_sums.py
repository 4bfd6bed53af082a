"""Every method, every pair of methods and the paper's sums on a tiny model of every architecture."""

import functools
from typing import NamedTuple

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor
from transformers import PreTrainedModel

from lnbench.methods.base import SEPARATOR
from tests.tiny import (
    ARCHITECTURES,
    EVERY_ARCHITECTURE,
    FIRST_ARCHITECTURES,
    NAMES,
    PARTS,
    batch,
    hidden,
    is_possible,
    part,
    parts,
    shake,
    shallow,
    tiny,
    trained,
    tune,
)

SUMMABLE = [name for name in PARTS if not part(name).exclusive]
PAPER = ["ln+mha_adapter+prefix", "ln+mha_adapter", "ln+adapter", "ln+mam"]
GATED = ["adapter+lora+prefix+unipelt"]
ALL_AT_ONCE = SEPARATOR.join(SUMMABLE)
FEW = ["ln", "bitfit", "lora", "adapter", "prefix", "ln+mha_adapter+prefix", "ia3+ln+lora+mha_parallel_adapter+prompt"]
CASES = [
    (architecture, method)
    for architecture in EVERY_ARCHITECTURE
    for method in ([*NAMES, *PAPER, *GATED, ALL_AT_ONCE] if architecture in FIRST_ARCHITECTURES else FEW)
    if is_possible(architecture, method)
]
CHANGES_AT_ONCE = {"prefix", "prompt"}
"""Parts that have no neutral start."""

on_every_architecture = pytest.mark.parametrize("architecture", ARCHITECTURES)


class Case(NamedTuple):
    """A method on a model, and what it does there."""

    architecture: str
    method: str
    model: PreTrainedModel
    """With the trained tensors at random places."""
    claimed: set[str]
    """Names of parameters."""
    start: Tensor
    """Hidden states before the tensors were moved."""
    values: Tensor
    """Hidden states."""
    gradients: dict[str, Tensor]
    """Gradients that are not None, by name."""


@pytest.fixture(scope="module")
def case(request: pytest.FixtureRequest) -> Case:
    architecture, method = request.param
    model = tiny(architecture)
    claimed = set().union(*tune(model, method).values())
    with torch.no_grad():
        start = hidden(model, batch())
    return Case(architecture, method, model, claimed, start, *moved(model, claimed))


def moved(model: PreTrainedModel, claimed: set[str]) -> tuple[Tensor, dict[str, Tensor]]:
    """Moves what is trained, and returns the hidden states then, and all gradients."""
    shake(model)
    values = hidden(model, batch())
    if claimed:
        values.pow(2).sum().backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return values.detach(), gradients


def of_cases(cases: list[tuple[str, str]]) -> pytest.MarkDecorator:
    """The tests of one case follow each other, so that the case is made once."""
    return pytest.mark.parametrize("case", cases, ids=map("-".join, cases), indirect=True)


@of_cases(CASES)
def test_every_claimed_parameter_gets_a_gradient_and_no_other(case: Case) -> None:
    check_gradients(case.method, case.model, case.claimed, case.gradients)


@pytest.mark.parametrize("first", SUMMABLE)
@pytest.mark.parametrize("architecture", FIRST_ARCHITECTURES)
def test_so_it_is_in_every_pair(architecture: str, first: str) -> None:
    """On two layers, which show what two parts do to each other as well as three."""
    for second in SUMMABLE[SUMMABLE.index(first) + 1 :]:
        if is_possible(architecture, method := f"{first}{SEPARATOR}{second}"):
            model = shallow(architecture)
            claimed = set().union(*tune(model, method).values())
            check_gradients(method, model, claimed, moved(model, claimed)[1])


def check_gradients(method: str, model: PreTrainedModel, claimed: set[str], gradients: dict[str, Tensor]) -> None:
    unused = {name for name in claimed if "pooler" in name}
    assert {name for name, gradient in gradients.items() if gradient.abs().sum() > 0} == claimed - unused, method
    assert set(trained(model)) == claimed, method


@of_cases(CASES)
def test_the_trained_tensors_alone_restore_the_function(case: Case) -> None:
    file = save({name: tensor.detach() for name, tensor in trained(case.model).items()})
    again = tiny(case.architecture)
    tune(again, case.method, seed=5)
    assert not again.load_state_dict(load(file), strict=False).unexpected_keys
    torch.testing.assert_close(hidden(again, batch()), case.values, rtol=0, atol=0)


@of_cases(CASES)
def test_gradient_checkpointing_changes_no_gradient(case: Case) -> None:
    if not case.claimed or not case.model.supports_gradient_checkpointing:
        return
    model = without_dropout(case.model)
    model.config.use_cache = False
    model.activation_checkpointing_enable({"use_reentrant": False})
    hidden(model, batch()).pow(2).sum().backward()
    found = {name: p.grad for name, p in trained(model).items() if p.grad is not None}
    torch.testing.assert_close(found, case.gradients, rtol=1e-4, atol=1e-5)


def without_dropout(model: PreTrainedModel) -> PreTrainedModel:
    """In training mode, which checkpointing needs."""
    for module in model.train().modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return model


@of_cases([case for case in CASES if not CHANGES_AT_ONCE & set(parts(case[1]))])
def test_a_method_starts_from_the_pretrained_function(case: Case) -> None:
    torch.testing.assert_close(case.start, pretrained(case.architecture), rtol=0, atol=1e-6)


@functools.cache
def pretrained(architecture: str) -> Tensor:
    return hidden(tiny(architecture), batch())


@on_every_architecture
@pytest.mark.parametrize("method", ["prefix+ln", "mha_adapter+prefix+ln", "bitfit+adapter+ln"])
def test_sums_commute(architecture: str, method: str) -> None:
    forward, backward = tiny(architecture), tiny(architecture)
    claims = tune(forward, method)
    assert tune(backward, "+".join(reversed(method.split("+")))) == claims
    for (name, one), (other_name, other) in zip(forward.named_parameters(), backward.named_parameters(), strict=True):
        assert name == other_name
        assert torch.equal(one, other)


@on_every_architecture
def test_the_company_of_other_parts_does_not_change_a_parts_start(architecture: str) -> None:
    alone, accompanied = tiny(architecture), tiny(architecture)
    names = tune(alone, "prefix")["prefix"]
    tune(accompanied, "adapter+prefix")
    for name in names:
        assert torch.equal(alone.get_parameter(name), accompanied.get_parameter(name))


@on_every_architecture
def test_bitfit_claims_no_bias_of_an_inserted_module(architecture: str) -> None:
    alone = tune(tiny(architecture), "bitfit")["bitfit"]
    assert tune(tiny(architecture), "adapter+bitfit+mha_adapter")["bitfit"] == alone


@on_every_architecture
def test_a_sum_counts_the_union(architecture: str) -> None:
    model = tiny(architecture)
    claims = tune(model, "bitfit+ln")
    shared = set(claims["bitfit"]) & set(claims["ln"])
    assert shared
    assert len(trained(model)) == len(claims["bitfit"]) + len(claims["ln"]) - len(shared)
