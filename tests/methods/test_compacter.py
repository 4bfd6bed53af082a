"""Compacter's weights are sums of Kronecker products, with factors that all layers share."""

import copy

import pytest
import torch

from lnbench.core.schema import ConfigError
from lnbench.methods.parts.kronecker import KroneckerLinear, KroneckerRule
from tests.tiny import HIDDEN, LAYERS, batch, hidden, part, shake, tiny, trained, tune

on_both = pytest.mark.parametrize("architecture", ["bert", "gpt2"])


def test_the_weight_is_a_sum_of_kronecker_products() -> None:
    rule = KroneckerRule(2)
    layer = KroneckerLinear(rule, in_features=6, out_features=8)
    expected = sum(torch.kron(rule.factors[i], torch.outer(layer.s[i], layer.t[i])) for i in range(2))
    assert isinstance(expected, torch.Tensor)
    torch.testing.assert_close(layer.weight(), expected)
    x = torch.randn(5, 6)
    torch.testing.assert_close(layer(x), x @ expected.T)


def test_outputs_start_with_the_variance_of_the_inputs() -> None:
    torch.manual_seed(0)
    x = torch.randn(100, 512)
    variances = [KroneckerLinear(KroneckerRule(4), 512, 512)(x).var() for _ in range(50)]
    assert torch.stack(variances).mean().item() == pytest.approx(1.0, abs=0.2)


@on_both
@pytest.mark.parametrize(("sublayers", "adapters"), [(["mha", "ffn"], 2), (["ffn"], 1), (["ffn", "ffn"], 1)])
def test_shared_factors_count_once(architecture: str, sublayers: list[str], adapters: int) -> None:
    model = tiny(architecture)
    tune(model, {"compacter": part("compacter", sublayers=sublayers, terms=2, bottleneck=6)})
    one_adapter = 2 * (HIDDEN + 6) + HIDDEN + 6
    assert sum(parameter.numel() for parameter in trained(model).values()) == 2**3 + LAYERS * adapters * one_adapter


@on_both
def test_shared_factors_are_stored_once(architecture: str) -> None:
    model = tiny(architecture)
    tune(model, "compacter")
    stored = [name for name in model.state_dict() if "factors" in name]
    assert stored == [name for name in trained(model) if "factors" in name] == ["compacter.factors"]


@on_both
def test_every_layer_reads_the_shared_factors(architecture: str) -> None:
    model = tiny(architecture)
    tune(model, "compacter")
    shake(model)
    before = [layer.weight() for layer in _layers(model)]
    model.get_parameter("compacter.factors").data += 1.0
    assert len(before) == LAYERS * 2 * 2
    assert all((layer.weight() != weight).any() for layer, weight in zip(_layers(model), before, strict=True))


def test_a_copy_of_the_model_shares_factors_of_its_own() -> None:
    model = tiny("bert")
    tune(model, "compacter")
    shake(model)
    twin, expected = copy.deepcopy(model), hidden(model, batch())
    twin.get_parameter("compacter.factors").data += 1.0
    torch.testing.assert_close(hidden(model, batch()), expected, rtol=0, atol=0)
    assert (hidden(twin, batch()) - expected).abs().max() > 0.01


@pytest.mark.parametrize(
    ("settings", "culprit"),
    [
        ({"terms": 4, "bottleneck": 6}, "bottleneck, which is 6"),
        ({"terms": 5, "bottleneck": 10}, "hidden size, which is 32"),
    ],
)
def test_terms_that_do_not_divide_the_sizes_are_refused(settings: dict[str, int], culprit: str) -> None:
    with pytest.raises(ConfigError, match=rf"method\.compacter\.terms = {settings['terms']}: must divide .*{culprit}"):
        tune(tiny("bert"), {"compacter": part("compacter", **settings)})


def _layers(model: torch.nn.Module) -> list[KroneckerLinear]:
    return [module for module in model.modules() if isinstance(module, KroneckerLinear)]
