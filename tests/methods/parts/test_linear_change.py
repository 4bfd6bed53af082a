"""Changes of linear layers fold into the weights, on every architecture and beside what stays inserted."""

import copy

import pytest
import torch
from torch import nn

from lnbench.methods.parts.linear_change import Change, fold_changes
from tests.tiny import (
    EVERY_ARCHITECTURE,
    FIRST_ARCHITECTURES,
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

EVERYWHERE = part("lora", targets=["q", "k", "v", "o", "ffn"])
SUMS = ["lora", "ia3", "ia3+lora", "bitfit+ia3", "ia3+lora+ln+prefix", "ia3+lora+houlsby+mha_parallel_adapter"]
CASES = [
    (architecture, method)
    for architecture in EVERY_ARCHITECTURE
    for method in (SUMS if architecture in FIRST_ARCHITECTURES else SUMS[-1:])
    if is_possible(architecture, method)
]


def tuned(architecture: str, method: str) -> nn.Module:
    """A model with a sum on it, far from its start; LoRA on every map that it can change."""
    model = tiny(architecture)
    named = parts(method)
    tune(model, named | ({"lora": EVERYWHERE} if "lora" in named else {}))
    shake(model.double(), scale=0.3)
    return model


def hooks(model: nn.Module) -> int:
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())


def shapes(model: nn.Module) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize(("architecture", "method"), CASES)
def test_folding_keeps_the_function_and_leaves_what_cannot_be_folded(architecture: str, method: str) -> None:
    model = tuned(architecture, method)
    expected = hidden(model, batch())
    fold_changes(model)
    torch.testing.assert_close(hidden(model, batch()), expected, rtol=0, atol=1e-9)
    assert not any(isinstance(module, Change) for module in model.modules())
    rest = tiny(architecture)
    tune(rest, {name: method for name, method in parts(method).items() if not method.folds})
    assert hooks(model) == hooks(rest)
    assert shapes(model) == shapes(rest)
    assert trained(model).keys() == trained(rest).keys()


def test_folding_leaves_weights_alone_that_other_models_share() -> None:
    model = tuned("bert", "ia3+lora")
    shared = dict(model.named_parameters())
    before = {name: parameter.clone() for name, parameter in shared.items()}
    fold_changes(model)
    assert all(torch.equal(before[name], parameter) for name, parameter in shared.items())


def test_a_copy_is_folded_and_the_original_is_not() -> None:
    model = tuned("gpt2", "ia3+lora")
    inserted, copied = hooks(model), copy.deepcopy(model)
    fold_changes(copied)
    assert (hooks(model), hooks(copied)) == (inserted, 0)


def test_a_model_without_changes_stays_as_it_is() -> None:
    model = tuned("bert", "ln+mha_adapter")
    parameters = dict(model.named_parameters())
    fold_changes(model)
    assert all(parameter is parameters[name] for name, parameter in model.named_parameters())
