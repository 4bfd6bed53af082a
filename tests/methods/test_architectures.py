"""The role tables are true of the models: checked by what runs when, and by what the parts compute."""

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from transformers import AutoModel, GPT2Config, PreTrainedModel

from lnbench.backbone.backbone import INNER, SUBLAYERS, Backbone, NormReading, head_size, role_table
from lnbench.backbone.tables import OPT, TABLES, VARIANTS, Map, Sublayer
from lnbench.core.schema import ConfigError
from lnbench.training.assemble import build_model
from tests.conftest import Configure
from tests.tiny import (
    CONFIGS,
    EVERY_ARCHITECTURE,
    HEADS,
    HIDDEN,
    LAYERS,
    SWITCHES,
    batch,
    hidden,
    shake,
    tiny,
    trained,
    tune,
)

on_every_architecture = pytest.mark.parametrize("architecture", [*EVERY_ARCHITECTURE, *SWITCHES])
ONE_BLOCK = {"albert"}
"""Architectures that apply one block again and again."""
NORMS_FIRST = {"falcon_new"}
"""Architectures with parallel sublayers that compute both norms before them."""
FOUR_NORMS = ["gemma2", "gemma3", "glm4"]
BIASED = {"bloom", "deberta", "deberta_v2", "falcon_rw", "mpnet", "phi"}
"""Architectures whose attention prefers some positions, or whose norms of queries and keys have biases."""
IN_SEQUENCE = [name for name in (*EVERY_ARCHITECTURE, *SWITCHES) if role_table(CONFIGS[name]).placement != "parallel"]
"""Architectures whose sublayers follow each other."""


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


def for_each_head(values: Tensor, model: PreTrainedModel) -> Tensor:
    """Values of every head of keys, as one long vector of values for every head of queries."""
    by_head = values.view(-1, 1, head_size(model.config))
    return by_head.expand(-1, HEADS // len(by_head), -1).flatten()


def is_norm(module: nn.Module) -> bool:
    return "Norm" in type(module).__name__


def test_every_table_is_tested() -> None:
    tested = {config.model_type for config in CONFIGS.values()}
    assert set(TABLES) - tested == {"xlm-roberta"}
    assert TABLES["xlm-roberta"] is TABLES["roberta"]
    assert len(TABLES) >= 34


def test_every_variant_is_tested() -> None:
    seen = [role_table(config) for config in CONFIGS.values()]
    untested = [(name, one) for name, variants in VARIANTS.items() for one in variants if one.table not in seen]
    assert [(name, dict(one.settings)) for name, one in untested] == [("gpt_neox", {"use_parallel_residual": False})]


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
        "norm of attention's output": backbone.output_norm("mha", layer),
        "norm of FFN's output": backbone.output_norm("ffn", layer),
        "value": backbone.linear_maps("value", layer)[0].layer,
        "out of attention": backbone.output_of("mha", layer),
        "into FFN": backbone.linear_maps("ffn_input", layer)[-1].layer,
        "out of FFN": backbone.output_of("ffn", layer),
    }
    if backbone.shares_norms:
        del modules["norm of FFN"]
    attention = ["value", "out of attention", "norm of attention's output"]
    ffn = ["into FFN", "out of FFN", "norm of FFN's output"]
    expected = {
        "post": [*attention, "norm of attention", *ffn, "norm of FFN"],
        "branch": [*attention, "norm of attention", *ffn, "norm of FFN"],
        "pre": ["norm of attention", *attention, "norm of FFN", *ffn],
        "parallel": ["norm of attention", *attention, "norm of FFN", *ffn],
    }[backbone.table.placement]
    if architecture in NORMS_FIRST:
        expected = ["norm of attention", "norm of FFN", *attention, *ffn]
    there = {name: module for name, module in modules.items() if module is not None}
    assert order_of(model, there) == [name for name in expected if name in there]


@pytest.mark.parametrize("architecture", IN_SEQUENCE)
@pytest.mark.parametrize("sublayer", ["mha", "ffn"])
def test_by_position_the_norms_after_a_sublayer_are_the_next_to_run(architecture: str, sublayer: Sublayer) -> None:
    model = tiny(architecture)
    backbone = Backbone(model)
    for layer in range(backbone.num_layers):
        inner = {norm for name in INNER for norm in backbone.inner_norms(name, layer)}
        norms = {name: module for name, module in model.named_modules() if is_norm(module) and module not in inner}
        order = order_of(model, {**norms, "sublayer": backbone.output_of(sublayer, layer)})
        following = order[order.index("sublayer") + 1 :]
        expected = backbone.norms_after(sublayer, layer, "position")
        assert [norms[name] for name in following[: len(expected)]] == expected
        ends = architecture == "opt_without_final_norm" and sublayer == "ffn" and layer == LAYERS - 1
        assert len(expected) == (2 if architecture in FOUR_NORMS else 0 if ends else 1)


@on_every_architecture
@pytest.mark.parametrize("reading", ["position", "sublayer"])
def test_the_norms_are_those_of_the_blocks_and_those_outside(architecture: str, reading: NormReading) -> None:
    backbone = Backbone(tiny(architecture))
    layers = range(backbone.num_layers)
    after = {
        norm for sublayer in SUBLAYERS for layer in layers for norm in backbone.norms_after(sublayer, layer, reading)
    }
    inner = {norm for name in INNER for layer in layers for norm in backbone.inner_norms(name, layer)}
    around = {*backbone.norms_before_blocks(reading), backbone.final_norm()} - {None}
    other = {norm for norm, _ in backbone.other_norms()}
    holders = {norm for norm in backbone.base.modules() if "PerHead" in type(norm).__name__}  # of StableLM
    expected = {module for module in backbone.base.modules() if is_norm(module)} - holders
    assert after | inner | around | other == expected


@pytest.mark.parametrize("architecture", [name for name in FOUR_NORMS if name.startswith("gemma")])
def test_four_norms_a_block_are_two_a_sublayer_in_both_readings(architecture: str) -> None:
    backbone = Backbone(tiny(architecture))
    block, following = backbone.blocks[0], backbone.blocks[1]
    assert backbone.norms_after("mha", 0, "sublayer") == [block.post_attention_layernorm, block.input_layernorm]
    assert backbone.norms_after("ffn", 0, "sublayer") == [
        block.post_feedforward_layernorm,
        block.pre_feedforward_layernorm,
    ]
    assert backbone.norms_after("mha", 0, "position") == [
        block.post_attention_layernorm,
        block.pre_feedforward_layernorm,
    ]
    assert backbone.norms_after("ffn", 0, "position") == [
        block.post_feedforward_layernorm,
        following.input_layernorm,
    ]
    assert backbone.norms_after("ffn", LAYERS - 1, "position")[1] is backbone.final_norm()
    assert backbone.norms_before_blocks("position") == [block.input_layernorm]


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
    per_head = for_each_head(shift, model)
    torch.testing.assert_close(after - before, per_head.expand_as(before), rtol=0, atol=1e-5)


@pytest.mark.parametrize("architecture", [name for name in EVERY_ARCHITECTURE if name not in BIASED])
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
    hidden(model, batch((3,)))  # fewer tokens than any window
    average = for_each_head(values[0].mean(dim=1), model)
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


def test_falcon_of_the_new_kind_with_one_norm() -> None:
    config = copy.deepcopy(CONFIGS["falcon_new"])
    config.update({"num_ln_in_parallel_attn": 1})
    backbone = Backbone(AutoModel.from_config(config))
    assert backbone.shares_norms
    assert backbone.norms_of(0) == [backbone.blocks[0].get_submodule("input_layernorm")]
    assert len(Backbone(tiny("falcon_new")).norms_of(0)) == 2


def test_opt_without_a_final_norm_ends_with_its_last_block() -> None:
    backbone = Backbone(tiny("opt_without_final_norm"))
    assert backbone.final_norm() is None
    assert backbone.norms_after("ffn", LAYERS - 1, "position") == []
    assert backbone.norms_after("ffn", LAYERS - 2, "position") == [backbone.blocks[-1].get_submodule(OPT.mha_norm)]


def test_a_stream_through_the_norms_has_them_at_the_same_places() -> None:
    """BLOOM can add a sublayer to the output of the norm before it. Its norms are chosen as if it did not."""
    plain, through = Backbone(tiny("bloom")), Backbone(tiny("bloom_post"))
    assert through.table == plain.table
    entering: list[Tensor] = []
    through.blocks[1].register_forward_hook(lambda _, inputs, output: entering.append(inputs[0]))
    with torch.no_grad():
        silent = [through.output_of(sublayer, layer) for sublayer in SUBLAYERS for layer in range(LAYERS)]
        for parameter in (parameter for layer in silent for parameter in layer.parameters()):
            parameter.zero_()
    hidden(through.model, batch())
    states = through.model.get_input_embeddings()(batch()["input_ids"])
    norms = [through.embedding_norm(), *(through.norm_after(sublayer, 0, "sublayer") for sublayer in SUBLAYERS)]
    for norm in norms:
        assert norm is not None
        states = norm(states)
    torch.testing.assert_close(entering[0], states)


@pytest.mark.parametrize("architecture", SWITCHES)
@pytest.mark.parametrize("method", ["ln", "ln+lora+mha_adapter", "bitfit+prompt", "adapter+ia3"])
def test_methods_train_what_they_claim_whatever_is_switched(architecture: str, method: str) -> None:
    model = tiny(architecture)
    claims = tune(model, method)
    shake(model)
    hidden(model, batch()).square().sum().backward()
    moved = {name for name, value in trained(model).items() if value.grad is not None and value.grad.any()}
    keys = {name for name in moved | trained(model).keys() if name.endswith("key_proj.bias")}  # softmax cancels them
    assert moved - keys == set().union(*claims.values()) - keys


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
    with pytest.raises(
        ConfigError,
        match=r"the architecture 'mystery' has no role table; known: albert, .*python -m lnbench.roles model=",
    ):
        role_table(Mystery())
