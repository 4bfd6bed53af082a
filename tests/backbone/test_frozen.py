"""Nothing below the lowest trained layer takes part in the backward pass, nor, where its output is given, in any."""

import copy
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import AutoModel, PreTrainedModel

from lnbench.backbone.backbone import Backbone
from lnbench.backbone.frozen import FrozenPart
from lnbench.methods.base import Method
from tests.tiny import (
    ARCHITECTURES,
    CONFIGS,
    EVERY_ARCHITECTURE,
    HIDDEN,
    LAYERS,
    PARTS,
    batch,
    is_possible,
    part,
    shake,
    shipped,
    tiny,
    trained,
    tune,
)

LAYERED = [name for name in PARTS if "layers" in shipped(name)]
SEVERAL_BLOCKS = [name for name in EVERY_ARCHITECTURE if name != "albert"]
LENGTHS = (7, 4, 1)


def at(layers: str, *names: str) -> dict[str, Method]:
    """A sum of methods at some layers, counted from 1."""
    return {name: part(name, layers=layers) for name in names}


def flowing(model: PreTrainedModel) -> set[nn.Module]:
    """Modules whose outputs gradients flow through."""
    found: set[nn.Module] = set()

    def note(module: nn.Module, _: Any, output: Any) -> None:
        values = output if isinstance(output, tuple) else [output]
        if any(isinstance(value, Tensor) and value.requires_grad for value in values):
            found.add(module)

    for module in model.modules():
        module.register_forward_hook(note)
    model(**batch())
    return found


@pytest.mark.parametrize(
    ("architecture", "names"),
    [
        *[(architecture, [name]) for architecture in ARCHITECTURES for name in LAYERED],
        *[(architecture, ["ln", "prefix", "mha_adapter", "lora", "ia3"]) for architecture in SEVERAL_BLOCKS],
    ],
)
def test_no_gradient_flows_below_the_lowest_trained_layer(architecture: str, names: list[str]) -> None:
    model = tiny(architecture)
    tune(model, at(f"{LAYERS}", *(name for name in names if is_possible(architecture, name))))
    *lower, highest = Backbone(model).blocks
    with_graph = flowing(model)
    assert highest in with_graph
    assert not with_graph & {module for block in lower for module in block.modules()}
    assert FrozenPart(model, batch()).blocks == lower


@pytest.mark.parametrize(
    ("methods", "bert", "gpt2"),
    [
        ({"head": part("head")}, 3, 3),
        ({"ln": part("ln", layers="2", norms=["ffn"])}, 1, 2),
        ({"ln": part("ln", layers="3", norms=["ffn"], norm_reading="sublayer")}, 2, 2),
        ({"ln": part("ln", layers="3", norms=["ffn"])}, 2, 3),
        ({"ln": part("ln", layers="3", embedding_norm=True)}, 0, 0),
        ({"prompt": part("prompt")}, 0, 0),
        ({"full": part("full")}, 0, 0),
        ({"prefix": part("prefix", layers="2", mlp_size=4)}, 1, 1),
        ({**at("2-3", "adapter"), **at("3", "lora")}, 1, 1),
    ],
)
def test_the_frozen_blocks_are_counted(methods: dict[str, Method], bert: int, gpt2: int) -> None:
    for architecture, count in (("bert", bert), ("gpt2", gpt2)):
        model = tiny(architecture)
        tune(model, methods)
        frozen = FrozenPart(model, batch())
        assert len(frozen.blocks) == count
        assert frozen.blocks + frozen.others == Backbone(model).blocks


def one_by_one(frozen: FrozenPart, inputs: dict[str, Tensor]) -> Tensor:
    """The states of each row without padding, put together with zeros for padding."""
    states = torch.zeros(*inputs["input_ids"].shape, HIDDEN)
    for row, length in enumerate(inputs["attention_mask"].sum(1).tolist()):
        (states[row, :length],) = frozen.states({name: value[row : row + 1, :length] for name, value in inputs.items()})
    return states


def outputs_and_gradients(model: PreTrainedModel, inputs: dict[str, Tensor]) -> list[Tensor]:
    states = model(**inputs).last_hidden_state[inputs["attention_mask"].bool()]
    parameters = list(trained(model).values())
    return [states, *(torch.autograd.grad(states.square().sum(), parameters) if parameters else [])]


def check_equal(first: Sequence[Tensor], second: Sequence[Tensor]) -> None:
    for one, other in zip(first, second, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("architecture", "names"),
    [
        *[(architecture, ["ln", "prefix", "adapter"]) for architecture in SEVERAL_BLOCKS],
        *[(architecture, ["head"]) for architecture in ("albert", *ARCHITECTURES)],
    ],
)
def test_given_states_stand_for_the_frozen_part(architecture: str, names: list[str]) -> None:
    model, inputs = tiny(architecture), batch(LENGTHS)
    names = [name for name in names if is_possible(architecture, name)]
    tune(model, {"head": part("head")} if names == ["head"] else at(f"{LAYERS}", *names))
    shake(model)
    frozen = FrozenPart(model, inputs)
    expected = outputs_and_gradients(model, inputs)
    states = one_by_one(frozen, inputs)
    with frozen.spared():
        check_equal(outputs_and_gradients(model, inputs), expected)
        with torch.no_grad():
            for block in frozen.blocks:
                for parameter in block.parameters():
                    parameter.fill_(torch.nan)
        check_equal(outputs_and_gradients(model, {**inputs, "frozen_states": states}), expected)
    assert all("forward" not in vars(block) for block in frozen.blocks)
    assert model(**inputs, frozen_states=states).last_hidden_state.isnan().all(), "they count no longer"


DROPOUT = [
    ("bert", "hidden_dropout_prob"),
    ("bert", "attention_probs_dropout_prob"),
    ("albert", "attention_probs_dropout_prob"),
    ("deberta", "hidden_dropout_prob"),
    ("deberta_v2", "attention_probs_dropout_prob"),
    ("distilbert", "dropout"),
    ("distilbert", "attention_dropout"),
    ("gpt2", "embd_pdrop"),
    ("gpt2", "attn_pdrop"),
    ("gpt2", "resid_pdrop"),
    ("gpt_neox", "hidden_dropout"),
    ("gpt_neox", "attention_dropout"),
    ("llama", "attention_dropout"),
    ("opt", "dropout"),
    ("opt", "attention_dropout"),
    ("opt", "layerdrop"),
]


@pytest.mark.parametrize(("architecture", "kind"), DROPOUT)
def test_any_dropout_is_noticed_and_can_be_stopped(architecture: str, kind: str) -> None:
    config = copy.deepcopy(CONFIGS[architecture])
    for name, value in config.to_dict().items():
        if ("drop" in name) and isinstance(value, float):
            setattr(config, name, 0.0)
    calm = AutoModel.from_config(config).train()
    setattr(config, kind, 1e-4)
    dropping = AutoModel.from_config(config).train()
    for model in (calm, dropping):
        tune(model, {"head": part("head")} if architecture == "albert" else at(f"{LAYERS}", "ln"))
    assert not FrozenPart(calm, batch()).is_random(batch())
    frozen = FrozenPart(dropping, batch())
    assert frozen.is_random(batch())
    frozen.stop_dropout()
    assert not frozen.is_random(batch())


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_layers_above_keep_their_dropout(architecture: str) -> None:
    model = tiny(architecture).train()
    tune(model, at("3", "ln"))
    frozen = FrozenPart(model, batch())
    frozen.stop_dropout()
    assert [block.training for block in Backbone(model).blocks] == [False, False, True]
    first, second = (model(**batch()).last_hidden_state for _ in range(2))
    assert not torch.equal(first, second)
    assert torch.equal(frozen.states(batch()), tiny(architecture).eval()(**batch(), output_hidden_states=True)[-1][2])
