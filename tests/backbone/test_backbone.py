import copy
from itertools import product
from typing import Any

import pytest
import torch
from torch import nn

from lnbench.backbone.backbone import SUBLAYERS, Backbone, NormReading, head_size, longest_text, role_table
from lnbench.backbone.tables import Map
from lnbench.core.schema import ConfigError
from tests import tiny

ONE_LAYER_GATED = {"glm", "glm4", "modernbert", "phi3"}
"""Architectures in which both maps of a gated network are one layer."""
READINGS: tuple[NormReading, ...] = ("position", "sublayer")
MAPS: tuple[Map, ...] = ("query", "key", "value", "mha_output", "ffn_input", "ffn_output")


def backbone(architecture: str) -> Backbone:
    return Backbone(tiny.tiny(architecture))


@pytest.mark.parametrize("name", ["mhaa", "attention", "MHA", None])
def test_a_role_that_is_mistyped_is_refused(name: Any) -> None:
    view = backbone("gpt2")
    for find in (
        lambda: view.output_of(name, 0),
        lambda: view.reader_of(name, 0),
        lambda: view.linear_maps(name, 0),
        lambda: view.norm_after(name, 0, "position"),
        lambda: view.norm_after("ffn", 0, name),
        lambda: view.norms_after(name, 0, "sublayer"),
    ):
        with pytest.raises(ConfigError, match=f"^method: {name!r} is no role of a transformer; known: "):
            find()


@pytest.mark.parametrize("architecture", tiny.EVERY_ARCHITECTURE)
def test_every_role_of_a_block_is_there(architecture: str) -> None:
    view = backbone(architecture)
    assert view.num_layers == len(view.pretrained) >= 1
    for layer, sublayer, reading in product(range(view.num_layers), SUBLAYERS, READINGS):
        assert view.output_of(sublayer, layer).get_parameter("weight").ndim == 2
        assert view.reader_of(sublayer, layer).get_parameter("weight").ndim == 2
        for norm in view.norms_after(sublayer, layer, reading):
            assert {value.shape for value in norm.parameters()} <= {(tiny.HIDDEN,)}


@pytest.mark.parametrize("architecture", tiny.EVERY_ARCHITECTURE)
def test_linear_maps_have_the_sizes_of_their_roles(architecture: str) -> None:
    view = backbone(architecture)
    heads = tiny.HEADS * head_size(view.config)
    ffn = 4 * tiny.HIDDEN if architecture == "bloom" else tiny.FFN
    gated = 2 * ffn if architecture in ONE_LAYER_GATED else ffn
    inputs = {"ffn_output": ffn, "mha_output": heads}
    outputs = {"query": heads, "mha_output": tiny.HIDDEN, "ffn_input": gated, "ffn_output": tiny.HIDDEN}
    for layer, name in product(range(view.num_layers), MAPS):
        for found in view.linear_maps(name, layer):
            assert found.in_features == inputs.get(name, tiny.HIDDEN)
            assert name not in outputs or found.out_features == outputs[name]  # keys and values may have fewer heads
        (key,), (value,) = view.linear_maps("key", layer), view.linear_maps("value", layer)
        assert key.out_features == value.out_features


@pytest.mark.parametrize("architecture", tiny.EVERY_ARCHITECTURE)
def test_tokens_see_each_other_through_the_attention_output_alone(architecture: str) -> None:
    view, inputs = backbone(architecture), tiny.batch([6])
    changed = {**inputs, "input_ids": inputs["input_ids"].clone()}
    changed["input_ids"][0, 0] = inputs["input_ids"][0, 0] % (tiny.VOCABULARY - 3) + 3
    with torch.no_grad():
        assert not torch.allclose(tiny.hidden(view.model, inputs)[-1], tiny.hidden(view.model, changed)[-1])
        for layer in range(view.num_layers):
            for parameter in view.output_of("mha", layer).parameters():
                parameter.zero_()
        assert torch.allclose(tiny.hidden(view.model, inputs)[-1], tiny.hidden(view.model, changed)[-1], atol=1e-6)


@pytest.mark.parametrize(
    ("architecture", "reading", "names"),
    [
        ("bert", "position", ["encoder.layer.0.attention.output.LayerNorm", "encoder.layer.0.output.LayerNorm"]),
        ("bert", "sublayer", ["encoder.layer.0.attention.output.LayerNorm", "encoder.layer.0.output.LayerNorm"]),
        ("gpt2", "position", ["h.0.ln_2", "h.1.ln_1"]),
        ("gpt2", "sublayer", ["h.0.ln_1", "h.0.ln_2"]),
    ],
)
def test_norms_after_a_sublayer_follow_the_reading(architecture: str, reading: NormReading, names: list[str]) -> None:
    view = backbone(architecture)
    found = [norm for sublayer in SUBLAYERS for norm in view.norms_after(sublayer, 0, reading)]
    assert [name_of(view, norm) for norm in found] == names


def name_of(view: Backbone, module: nn.Module) -> str:
    names: dict[nn.Module, str] = {candidate: name for name, candidate in view.base.named_modules()}
    return names[module]


def test_the_norm_after_the_last_block_is_the_final_one() -> None:
    gpt2, bert = backbone("gpt2"), backbone("bert")
    last = gpt2.num_layers - 1
    assert gpt2.norm_after("ffn", last, "position") is gpt2.final_norm()
    assert gpt2.final_norm() is gpt2.base.get_submodule("ln_f")
    assert bert.final_norm() is None


@pytest.mark.parametrize(
    ("architecture", "reading", "names"),
    [
        ("bert", "position", ["embeddings.LayerNorm"]),
        ("bert", "sublayer", ["embeddings.LayerNorm"]),
        ("gpt2", "position", ["h.0.ln_1"]),
        ("gpt2", "sublayer", []),
        ("bloom", "position", ["word_embeddings_layernorm", "h.0.input_layernorm"]),
        ("bloom", "sublayer", ["word_embeddings_layernorm"]),
        ("modernbert", "position", ["embeddings.norm"]),
        ("olmo2", "position", []),
    ],
)
def test_norms_before_all_blocks(architecture: str, reading: NormReading, names: list[str]) -> None:
    view = backbone(architecture)
    assert [name_of(view, norm) for norm in view.norms_before_blocks(reading)] == names


SEVERAL = (*tiny.EVERY_ARCHITECTURE, *tiny.SWITCHES)
LIMITED = [name for name in SEVERAL if longest_text(tiny.CONFIGS[name]) is not None]


@pytest.mark.parametrize("architecture", LIMITED)
def test_the_longest_text_fits_and_a_longer_one_does_not(architecture: str) -> None:
    model, longest = tiny.tiny(architecture), longest_text(tiny.CONFIGS[architecture])
    assert longest == tiny.POSITIONS
    with torch.no_grad():
        tiny.hidden(model, tiny.batch([longest]))
        with pytest.raises((IndexError, RuntimeError)):
            tiny.hidden(model, tiny.batch([longest + 2]))  # RoBERTa's first position depends on the padding id


@pytest.mark.parametrize("architecture", [name for name in SEVERAL if name not in LIMITED])
def test_a_text_of_any_length_fits_where_positions_are_relative(architecture: str) -> None:
    with torch.no_grad():
        tiny.hidden(tiny.tiny(architecture), tiny.batch([2 * tiny.POSITIONS]))


def test_a_variant_has_a_table_of_its_own() -> None:
    config = copy.deepcopy(tiny.CONFIGS["gpt_neox"])
    assert role_table(config).placement == "parallel"
    config.use_parallel_residual = False
    assert role_table(config).placement == "pre"
