"""Backbones with quantised weights compute, and give gradients, as with the weights that the stored ones stand for."""

import importlib.util
import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

import lnbench
from lnbench.backbone.backbone import blocks_of
from lnbench.backbone.config import Quantization
from lnbench.backbone.quantization import are_equal, is_quantized, quantize
from lnbench.core.schema import ConfigError
from lnbench.exchange.merge import merge
from lnbench.exchange.tuned import load, load_several
from lnbench.launch.fused.groups import can_be_fused
from lnbench.records.identity import run_dir, run_id
from lnbench.run.lifecycle import run
from lnbench.training.assemble import build_model, check_length
from lnbench.training.device import computes_bf16, computing_in
from lnbench.training.frozen.weights import store_frozen_weights
from tests.conftest import Configure
from tests.tiny import (
    EVERY_ARCHITECTURE,
    NAMES,
    TWO_SIDED,
    batch,
    hidden,
    is_possible,
    shake,
    tiny,
    tiny_generator,
    trained,
    tune,
)

both = pytest.mark.parametrize("quantization", ["int8", "nf4"])
OTHER_CLASSES = {"gpt2": "Conv1D", "falcon": "FalconLinear", "falcon_new": "FalconLinear", "falcon_rw": "FalconLinear"}
"""Architectures with linear maps of a class that is not quantised."""
EVERY = (*EVERY_ARCHITECTURE, *sorted(TWO_SIDED))
METHODS = ["ln+lora+prefix+mha_adapter", "bitfit+ia3", "lora"]
NEEDING = {"full", "lora_xs", "oft", "svft"}
"""Methods that need the weights as they are."""
LEVELS = [-1.0, -0.6961928, -0.5250731, -0.3949175, -0.2844414, -0.1847734, -0.0910500, 0.0]
LEVELS += [0.0795803, 0.1609302, 0.2461123, 0.3379152, 0.4407098, 0.5626170, 0.7229568, 1.0]
"""The values of 4-bit NormalFloat (Dettmers et al. 2023, appendix E)."""


def linear_layers(model: PreTrainedModel) -> dict[str, nn.Linear]:
    """The linear layers in the blocks, by name."""
    inside = {id(module) for block in blocks_of(model) for module in block.modules()}
    return {
        name: module for name, module in model.named_modules() if id(module) in inside and isinstance(module, nn.Linear)
    }


def plain(weight: Tensor) -> Tensor:
    """The weights that a quantised tensor stands for: the product of the identity with it."""
    found: Tensor = nn.functional.linear(torch.eye(weight.shape[1]), weight).T
    return found.detach().clone()


def new(architecture: str) -> PreTrainedModel:
    """A tiny model in evaluation mode."""
    model = tiny_generator(architecture) if architecture in TWO_SIDED else tiny(architecture)
    model.eval()
    return model


def answer(model: PreTrainedModel, inputs: dict[str, Tensor]) -> Tensor:
    """The last hidden states, or the logits of an encoder-decoder."""
    if not model.config.is_encoder_decoder:
        return hidden(model, inputs)
    logits: Tensor = model(**inputs, decoder_input_ids=inputs["input_ids"]).logits
    return logits


def step(model: PreTrainedModel, inputs: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
    """States and the gradient of every trained parameter."""
    model.zero_grad()
    states = answer(model, inputs)
    (states * torch.linspace(-1, 1, states.numel()).view_as(states)).sum().backward()
    return states.detach(), {name: one.grad for name, one in trained(model).items() if one.grad is not None}


def check_against_the_stored_weights(architecture: str, quantization: Quantization, method: str) -> None:
    """Compares outputs and gradients with those of the weights that the quantised ones stand for.

    Also after a validation, in which no gradient is asked for.
    """
    model = new(architecture)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    quantize(model, quantization)
    stored = {name for name, one in model.named_parameters() if is_quantized(one)}
    assert stored == {f"{name}.weight" for name in linear_layers(model)}
    model.config.use_cache = False
    claims = tune(model, method)
    shake(model)
    inputs = batch()
    first = step(model, inputs)
    with torch.inference_mode():
        validated = answer(model, inputs)
    second = step(model, inputs)
    for name in stored:
        layer = model.get_submodule(name.removesuffix(".weight"))
        layer.weight = nn.Parameter(plain(layer.get_parameter("weight")), requires_grad=False)
        assert 0 < (layer.weight - before[name]).norm() < 0.15 * layer.weight.norm()
    wanted, wanted_gradients = step(model, inputs)
    torch.testing.assert_close(validated, wanted, rtol=1e-4, atol=1e-4)
    for found, gradients in (first, second):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
        assert gradients.keys() == wanted_gradients.keys() == set().union(*claims.values())
        torch.testing.assert_close(gradients, wanted_gradients, rtol=1e-3, atol=1e-3)


@both
@pytest.mark.parametrize("architecture", [name for name in EVERY if name not in OTHER_CLASSES])
def test_products_and_gradients_are_those_of_the_stored_weights(architecture: str, quantization: Quantization) -> None:
    method = next(one for one in METHODS if is_possible(architecture, one))
    check_against_the_stored_weights(architecture, quantization, method)


@both
@pytest.mark.parametrize("method", [name for name in NAMES if name not in NEEDING and name != "head"])
def test_every_other_method_trains_on_quantised_weights(method: str, quantization: Quantization) -> None:
    gated = "unipelt+adapter+lora+prefix"
    check_against_the_stored_weights("bert", quantization, gated if method == "unipelt" else method)


def test_the_documented_methods_are_those() -> None:
    text = (Path(__file__).parents[2] / "docs" / "models.md").read_text()
    section = text.partition("## Quantised weights")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| `") and "MiB" not in line]
    allowed, refused = (
        {name for row in rows if told in row for name in re.findall(r"`(\w+)`", row.split("|")[1])}
        for told in ("allowed", "refused")
    )
    assert allowed == set(NAMES) - NEEDING
    assert refused == NEEDING | {"lora", "lora_all", "dora", "pissa"}


def test_int8_rounds_to_255_steps_an_output() -> None:
    model = tiny("bert")
    before = {name: layer.weight.detach().clone() for name, layer in linear_layers(model).items()}
    quantize(model, "int8")
    for name, layer in linear_layers(model).items():
        steps = before[name].abs().amax(dim=1, keepdim=True) / 127.5
        found = plain(layer.weight) / steps
        torch.testing.assert_close(found, found.round(), rtol=0, atol=1e-3)
        assert float((found - before[name] / steps).abs().max()) < 0.501


def test_nf4_takes_the_nearest_level_of_a_block() -> None:
    """Scales are quantised too, so that weights are a little off, and a few between two levels take the other one."""
    model = tiny("bert")
    before = {name: layer.weight.detach().clone() for name, layer in linear_layers(model).items()}
    quantize(model, "nf4")
    levels = torch.tensor(LEVELS)
    for name, layer in linear_layers(model).items():
        blocks = before[name].view(-1, 64)
        scale = blocks.abs().amax(dim=1, keepdim=True)
        nearest = levels[(blocks / scale).unsqueeze(-1).sub(levels).abs().argmin(dim=-1)]
        off = (plain(layer.weight).reshape(-1, 64) - nearest * scale).abs() / scale
        assert off.quantile(0.99) < 0.005
        assert off.max() < 0.15


def test_a_model_that_cannot_be_quantised_is_refused_before_its_data_are_read(
    configure: Configure, tmp_path: Path
) -> None:
    tiny("gpt2").config.save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="are of class Conv1D"):
        check_length(configure(f"model.source={tmp_path}", "model.pooling=last", "model.quantization=int8"))


@pytest.mark.parametrize(("architecture", "name"), OTHER_CLASSES.items())
def test_linear_maps_of_other_classes_are_refused(architecture: str, name: str) -> None:
    with pytest.raises(ConfigError, match=rf"^model.quantization = 'int8': the linear maps .* are of class {name},"):
        quantize(tiny(architecture), "int8")


def test_an_unfitting_size_is_refused() -> None:
    model = tiny("bert")
    model.get_submodule("encoder.layer.1.intermediate").register_module("dense", nn.Linear(32, 63))
    with pytest.raises(
        ConfigError, match=r"'nf4': intermediate.dense has 2,016 weights, .* multiple of 64; choose int8$"
    ):
        quantize(model, "nf4")


@both
@pytest.mark.parametrize(
    ("methods", "named"),
    [
        ("method=full", "full"),
        ("method=ln+svft", "svft"),
        ("method=lora_xs", "lora_xs"),
        ("method=oft", "oft"),
        ("method=lora method.lora.dora=true", "lora"),
        ("method=lora+ln method.lora.pissa=true", "lora"),
    ],
)
def test_methods_that_need_the_weights_are_refused(
    configure: Configure, methods: str, named: str, quantization: Quantization
) -> None:
    with pytest.raises(ConfigError, match=f"^model.quantization = '{quantization}': {named} as configured needs the w"):
        configure(*methods.split(), f"model.quantization={quantization}")


def test_what_cannot_be_quantised_is_refused_before_a_model_loads(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(
        ConfigError, match=r"^model.quantization = 'nf4': quantised weights are not sharded; set trainer"
    ):
        configure("model.quantization=nf4", "trainer.devices=2")
    with pytest.raises(ConfigError, match=r"quantised weights are not sharded"):
        configure("model.quantization=nf4", "trainer.devices=all")
    with pytest.raises(ConfigError, match=r"^model.quantization = 'int4': must be 'int8' or 'nf4'"):
        configure("model.quantization=int4")
    config = configure("model.quantization=nf4")
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "torchao" else found(name, *more)
    )
    with pytest.raises(
        ConfigError, match=r"needs the Python package torchao; try: pip install 'lnbench\[quantization\]'$"
    ):
        build_model(config)


@both
def test_a_run_is_one_of_its_own_and_answers_as_it_did(configure: Configure, quantization: Quantization) -> None:
    config = configure("method=ln+lora+prefix", f"model.quantization={quantization}")
    record = run(config)
    assert record.id == run_id(config) != run_id(configure("method=ln+lora+prefix"))
    assert not can_be_fused(config)
    whole = run(configure("method=ln+lora+prefix"))
    assert record.parameters == whole.parameters
    tuned, again = load_several([run_dir(config), run_dir(config)])
    weights = [one.model.backbone.get_parameter("encoder.layer.0.output.dense.weight") for one in (tuned, again)]
    assert is_quantized(weights[0])
    assert weights[0] is weights[1]
    assert set(lnbench.records(config.runs_dir)["model.quantization"].dropna()) == {quantization}
    for refused in (partial(merge, tuned), partial(load, run_dir(config), merged=True)):
        with pytest.raises(ConfigError, match=r"nothing can be folded into quantised weights"):
            refused()


@pytest.mark.skipif(not computes_bf16("cpu"), reason="the processor does not multiply bf16")
@both
def test_bf16_keeps_the_stored_weights(quantization: Quantization) -> None:
    model, kept, reference = (tiny("bert").eval() for _ in range(3))
    for one in (model, kept):
        quantize(one, quantization)
    for name, layer in linear_layers(reference).items():
        layer.weight = nn.Parameter(plain(kept.get_submodule(name).get_parameter("weight")))
    for one in (model, reference):
        tune(one, "ln+lora")
    store_frozen_weights(model, torch.bfloat16)
    for name, layer in linear_layers(model).items():
        assert are_equal(layer.weight, kept.get_submodule(name).get_parameter("weight"))
    states: list[Any] = []
    for one in (model, reference):
        with computing_in("bf16", "cpu"):
            states.append(step(one, batch()))
    (found, gradients), (wanted, wanted_gradients) = states
    torch.testing.assert_close(found, wanted, rtol=0.05, atol=0.05)
    assert gradients.keys() == wanted_gradients.keys() == trained(model).keys()


def test_equal_tensors_are_told_from_others() -> None:
    one, same, other = (tiny("bert") for _ in range(3))
    with torch.no_grad():
        other.get_parameter("encoder.layer.0.output.dense.weight")[0, 0] += 1
    plain_weight = one.get_parameter("encoder.layer.0.output.dense.weight").detach().clone()
    for model in (one, same, other):
        quantize(model, "int8")
    weights = [model.get_parameter("encoder.layer.0.output.dense.weight") for model in (one, same, other)]
    assert are_equal(weights[0], weights[1])
    assert not are_equal(weights[0], weights[2])
    assert not are_equal(weights[0], nn.Parameter(plain_weight))
