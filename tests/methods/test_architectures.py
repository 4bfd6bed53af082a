"""The role tables are true of the models: checked by what runs when, and by what the parts compute."""

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from transformers import AutoModel, GPT2Config, PreTrainedModel

from lnbench.backbone.backbone import Backbone, NormReading, role_table
from lnbench.backbone.tables import TABLES, Map, Sublayer
from lnbench.core.schema import ConfigError
from lnbench.training.assemble import build_model
from tests.conftest import Configure
from tests.tiny import CONFIGS, EVERY_ARCHITECTURE, HEADS, HIDDEN, LAYERS, batch, hidden, tiny, trained, tune

on_every_architecture = pytest.mark.parametrize("architecture", EVERY_ARCHITECTURE)
ONE_BLOCK = {"albert"}
"""Architectures that apply one block again and again."""


class Mystery(GPT2Config):
    """An architecture that nobody knows."""

    model_type = "mystery"


def order_of(model: PreTrainedModel, modules: dict[str, nn.Module]) -> list[str]:
    """Names of modules in the order in which they are first called."""
    order: list[str] = []
    for name, module in modules.items():
        module.register_forward_pre_hook(lambda *_, name=name: None if name in order else order.append(name))
    hidden(model, batch())
    return order


def is_norm(module: nn.Module) -> bool:
    return "Norm" in type(module).__name__


def test_every_table_is_tested() -> None:
    tested = {config.model_type for config in CONFIGS.values()}
    assert set(TABLES) - tested == {"xlm-roberta"}
    assert TABLES["xlm-roberta"] is TABLES["roberta"]


@on_every_architecture
def test_there_is_a_block_for_each_layer(architecture: str) -> None:
    backbone = Backbone(tiny(architecture))
    assert backbone.num_layers == (1 if architecture in ONE_BLOCK else LAYERS)


@on_every_architecture
@pytest.mark.parametrize("layer", [0, LAYERS - 1])
def test_the_parts_of_a_block_run_in_the_order_of_its_kind(architecture: str, layer: int) -> None:
    model = tiny(architecture)
    backbone, layer = Backbone(model), 0 if architecture in ONE_BLOCK else layer
    modules = {
        "norm of attention": backbone.norm_after("mha", layer, "sublayer"),
        "norm of FFN": backbone.norm_after("ffn", layer, "sublayer"),
        "value": backbone.linear_maps("value", layer)[0].layer,
        "out of attention": backbone.output_of("mha", layer),
        "into FFN": backbone.linear_maps("ffn_input", layer)[-1].layer,
        "out of FFN": backbone.output_of("ffn", layer),
    }
    attention, ffn = ["value", "out of attention"], ["into FFN", "out of FFN"]
    expected = {
        "post": [*attention, "norm of attention", *ffn, "norm of FFN"],
        "pre": ["norm of attention", *attention, "norm of FFN", *ffn],
        "parallel": ["norm of attention", *attention, "norm of FFN", *ffn],
    }
    assert order_of(model, modules) == expected[backbone.table.placement]


@pytest.mark.parametrize("architecture", [name for name in EVERY_ARCHITECTURE if name != "gpt_neox"])
@pytest.mark.parametrize("sublayer", ["mha", "ffn"])
def test_by_position_the_norm_after_a_sublayer_is_the_next_to_run(architecture: str, sublayer: Sublayer) -> None:
    model = tiny(architecture)
    backbone = Backbone(model)
    for layer in range(backbone.num_layers):
        norms = {name: module for name, module in model.named_modules() if is_norm(module)}
        order = order_of(model, {**norms, "sublayer": backbone.output_of(sublayer, layer)})
        following = order[order.index("sublayer") + 1]
        assert norms[following] is backbone.norm_after(sublayer, layer, "position")


@on_every_architecture
@pytest.mark.parametrize("reading", ["position", "sublayer"])
def test_the_norms_are_those_of_the_blocks_and_those_outside(architecture: str, reading: NormReading) -> None:
    backbone = Backbone(tiny(architecture))
    after = {
        backbone.norm_after(sublayer, layer, reading)
        for sublayer in ("mha", "ffn")
        for layer in range(backbone.num_layers)
    }
    around = {backbone.norm_before_blocks(reading), backbone.final_norm()} - {None}
    relative = {norm for name, norm in backbone.base.named_modules() if name == "encoder.LayerNorm"}  # of DeBERTa v2
    assert after | around | relative == {module for module in backbone.base.modules() if is_norm(module)}


@on_every_architecture
def test_equal_values_come_out_of_attention_as_they_went_in(architecture: str) -> None:
    """Attention averages values, so a constant added to all of them is added to the average, head by head."""
    model = tiny(architecture)
    backbone = Backbone(model)
    (value,) = backbone.linear_maps("value", 0)
    rows = torch.arange(value.out_features) if value.rows is None else value.rows
    shift = torch.randn(value.out_features)
    seen: list[Tensor] = []
    backbone.output_of("mha", 0).register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    inputs = batch((6, 6))
    hidden(model, inputs)
    value.layer.register_forward_hook(lambda _, x, y: y.index_add(-1, rows, shift.expand(*y.shape[:-1], -1)))
    hidden(model, inputs)
    before, after = seen[0], seen[len(seen) // 2]
    repeats = HIDDEN // value.out_features
    per_head = shift.view(-1, 1, HIDDEN // HEADS).expand(-1, repeats, -1).flatten()
    torch.testing.assert_close(after - before, per_head.expand_as(before), rtol=0, atol=1e-5)


@pytest.mark.parametrize("architecture", [name for name in EVERY_ARCHITECTURE if not name.startswith("deberta")])
@pytest.mark.parametrize("name", ["query", "key"])
def test_without_queries_or_keys_attention_is_uniform(architecture: str, name: Map) -> None:
    model = tiny(architecture)
    backbone = Backbone(model)
    (silent,) = backbone.linear_maps(name, 0)
    (value,) = backbone.linear_maps("value", 0)
    rows = slice(None) if silent.rows is None else silent.rows
    value_rows = slice(None) if value.rows is None else value.rows
    values: list[Tensor] = []
    outputs: list[Tensor] = []
    silent.layer.register_forward_hook(lambda _, x, y: y.index_fill(-1, torch.arange(y.shape[-1])[rows], 0.0))
    value.layer.register_forward_hook(lambda _, x, y: values.append(y[..., value_rows]))
    backbone.output_of("mha", 0).register_forward_pre_hook(lambda _, inputs: outputs.append(inputs[0]))
    hidden(model, batch((6,)))
    repeats = HIDDEN // value.out_features
    average = values[0].mean(dim=1).view(-1, 1, HIDDEN // HEADS).expand(-1, repeats, -1).flatten()
    torch.testing.assert_close(outputs[0][0, -1], average, rtol=0, atol=1e-5)


def test_opt_with_norms_after_its_sublayers() -> None:
    assert role_table(CONFIGS["opt_350m"]).placement == "post"
    assert Backbone(tiny("opt_350m")).final_norm() is None
    assert Backbone(tiny("opt_350m")).output_size != HIDDEN


def test_gpt_neox_with_sublayers_in_sequence() -> None:
    config = copy.deepcopy(CONFIGS["gpt_neox"])
    config.update({"use_parallel_residual": False})
    backbone = Backbone(AutoModel.from_config(config))
    assert backbone.table.placement == "pre"
    assert backbone.norm_after("ffn", LAYERS - 1, "position") is backbone.final_norm()


def test_llama_has_gains_only() -> None:
    model = tiny("llama")
    tune(model, "ln")
    assert {name.rpartition(".")[2] for name in trained(model)} == {"weight"}


@on_every_architecture
def test_the_stated_output_size_is_that_of_the_last_hidden_states(architecture: str) -> None:
    model = tiny(architecture)
    assert hidden(model, batch()).shape[-1] == Backbone(model).output_size


def test_a_head_fits_a_model_that_projects_its_hidden_states(configure: Configure, tmp_path: Path) -> None:
    tiny("opt_350m").save_pretrained(tmp_path)
    model = build_model(configure(f"model.source={tmp_path}", "model.pooling=last"))
    assert model(**batch()).shape == (2, 2)


def test_gradient_checkpointing_that_a_model_does_not_support_is_refused(configure: Configure, tmp_path: Path) -> None:
    tiny("albert").save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match=r"trainer\.gradient_checkpointing = true: AlbertModel does not support it"):
        build_model(configure(f"model.source={tmp_path}", "trainer.gradient_checkpointing=true"))


def test_an_architecture_without_a_table_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"the architecture 'mystery' has no role table; known: albert, .*TABLES"):
        role_table(Mystery())
