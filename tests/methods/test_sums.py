"""Every method, every pair of methods and the paper's sums on a tiny model of every architecture."""

import pytest
import torch
from safetensors.torch import load, save
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
for_all_cases = pytest.mark.parametrize(("architecture", "method"), CASES)


@for_all_cases
def test_every_claimed_parameter_gets_a_gradient_and_no_other(architecture: str, method: str) -> None:
    check_gradients(architecture, method)


@pytest.mark.parametrize("first", SUMMABLE)
@pytest.mark.parametrize("architecture", FIRST_ARCHITECTURES)
def test_so_it_is_in_every_pair(architecture: str, first: str) -> None:
    for second in SUMMABLE[SUMMABLE.index(first) + 1 :]:
        if is_possible(architecture, method := f"{first}{SEPARATOR}{second}"):
            check_gradients(architecture, method)


def check_gradients(architecture: str, method: str) -> None:
    model = tiny(architecture)
    claims = tune(model, method)
    shake(model)
    if claimed := set().union(*claims.values()):
        hidden(model, batch()).pow(2).sum().backward()
    with_gradient = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    unused = {name for name in claimed if "pooler" in name}
    assert with_gradient == claimed - unused, method
    assert set(trained(model)) == claimed, method


@for_all_cases
def test_the_trained_tensors_alone_restore_the_function(architecture: str, method: str) -> None:
    model = tiny(architecture)
    tune(model, method)
    shake(model)
    file = save({name: tensor.detach() for name, tensor in trained(model).items()})
    again = tiny(architecture)
    tune(again, method, seed=5)
    assert not again.load_state_dict(load(file), strict=False).unexpected_keys
    torch.testing.assert_close(hidden(again, batch()), hidden(model, batch()), rtol=0, atol=0)


@for_all_cases
def test_gradient_checkpointing_changes_no_gradient(architecture: str, method: str) -> None:
    model = tiny(architecture)
    claims = tune(model, method)
    if not any(claims.values()) or not model.supports_gradient_checkpointing:
        return
    shake(model)
    model.config.use_cache = False
    expected = gradients(model)
    without_dropout(model).activation_checkpointing_enable({"use_reentrant": False})
    torch.testing.assert_close(gradients(model), expected, rtol=1e-4, atol=1e-5)


def gradients(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    model.zero_grad()
    hidden(model, batch()).pow(2).sum().backward()
    return {name: p.grad for name, p in trained(model).items() if p.grad is not None}


def without_dropout(model: PreTrainedModel) -> PreTrainedModel:
    """In training mode, which checkpointing needs."""
    for module in model.train().modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return model


@pytest.mark.parametrize(
    ("architecture", "method"),
    [case for case in CASES if not CHANGES_AT_ONCE & set(parts(case[1]))],
)
def test_a_method_starts_from_the_pretrained_function(architecture: str, method: str) -> None:
    expected = hidden(tiny(architecture), batch())
    model = tiny(architecture)
    tune(model, method)
    torch.testing.assert_close(hidden(model, batch()), expected, rtol=0, atol=1e-6)


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
