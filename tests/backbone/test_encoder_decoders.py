"""The role tables of encoder-decoders: what is where on each side, and that attention is ours."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from lnbench.backbone.attention import adapt_attention, attention, use_function
from lnbench.backbone.backbone import Backbone, NormReading, longest_text, role_table, views
from lnbench.backbone.tables import DECODERS, VARIANTS, Map
from lnbench.core.schema import ConfigError
from tests.tiny import (
    CONFIGS,
    DECODER_LAYERS,
    ENCODER_LAYERS,
    HIDDEN,
    POSITIONS,
    TWO_SIDED,
    tiny,
    tiny_generator,
    two_texts,
)

MAPS: tuple[Map, ...] = ("query", "key", "value", "mha_output", "ffn_input", "ffn_output")
on_all = pytest.mark.parametrize("architecture", sorted(TWO_SIDED))
EXPECTED = {
    "post": ("query", "key", "value", "mha_output", "mha_norm", "ffn_input", "ffn_output", "ffn_norm"),
    "pre": ("mha_norm", "query", "key", "value", "mha_output", "ffn_norm", "ffn_input", "ffn_output"),
}


def is_norm(module: nn.Module) -> bool:
    return "Norm" in type(module).__name__


def each_block(model: PreTrainedModel) -> Iterator[tuple[Backbone, int]]:
    for view in views(model):
        for layer in range(view.num_layers):
            yield view, layer


def order_of(model: PreTrainedModel, modules: dict[str, nn.Module]) -> list[str]:
    """Names of modules in the order in which they are first called."""
    order: list[str] = []
    for name, module in modules.items():
        module.register_forward_pre_hook(lambda *_, name=name: None if name in order else order.append(name))
    model(**two_texts())
    return order


def test_every_table_is_tested() -> None:
    assert set(DECODERS) == {config.model_type for name, config in CONFIGS.items() if name in TWO_SIDED}
    seen = [role_table(CONFIGS[name], "decoder") for name in TWO_SIDED]
    assert all(one.decoder in seen for kind in DECODERS for one in VARIANTS.get(kind, ()))


@on_all
def test_each_side_has_its_blocks(architecture: str) -> None:
    assert [(view.side, view.num_layers) for view in views(tiny(architecture))] == [
        ("encoder", ENCODER_LAYERS),
        ("decoder", DECODER_LAYERS),
    ]


@on_all
def test_the_parts_of_a_block_run_in_the_order_of_its_kind(architecture: str) -> None:
    model = tiny(architecture)
    for view, layer in list(each_block(model)):
        own: dict[str, nn.Module] = {name: view.linear_maps(name, layer)[0].layer for name in MAPS}
        norms = {f"{one}_norm": view.norm_after(one, layer, "sublayer") for one in view.sublayers}
        expected = list(EXPECTED[view.table.placement])
        if view.side == "decoder":
            cross: tuple[Map, ...] = ("query", "key", "value", "mha_output")
            own |= {f"cross_{name}": view.linear_maps(name, layer)[1].layer for name in cross}
            crossed = [f"cross_{name}" for name in expected if name in cross or name == "mha_norm"]
            place = expected.index("ffn_input" if view.table.placement == "post" else "ffn_norm")
            crossed = [name.replace("cross_mha_norm", "cross_norm") for name in crossed]
            expected[place:place] = crossed
        modules = own | {name: norm for name, norm in norms.items() if norm is not None}
        assert order_of(model, modules) == expected


@on_all
def test_by_position_the_norm_after_a_sublayer_is_the_next_to_run(architecture: str) -> None:
    model = tiny(architecture)
    names = {module: name for name, module in model.named_modules()}
    for view, layer in list(each_block(model)):
        for sublayer in view.sublayers:
            norms = {names[one]: one for one in view.base.modules() if is_norm(one)}
            order = order_of(model, {**norms, "output": view.output_of(sublayer, layer)})
            expected = view.norm_after(sublayer, layer, "position")
            assert expected is not None
            assert order[order.index("output") + 1] == names[expected]


@on_all
@pytest.mark.parametrize("reading", ["position", "sublayer"])
def test_no_norm_is_left_over(architecture: str, reading: NormReading) -> None:
    for view in views(tiny(architecture)):
        blocks = range(view.num_layers)
        inside = {norm for layer in blocks for one in view.sublayers for norm in view.norms_after(one, layer, reading)}
        around = {*view.norms_before_blocks(reading), view.final_norm()} - {None}
        assert inside | around == {module for module in view.base.modules() if is_norm(module)}
        assert {norm for layer in blocks for norm in view.norms_of(layer)} <= inside | around


@on_all
def test_no_linear_map_is_left_over(architecture: str) -> None:
    for view, layer in each_block(tiny(architecture)):
        found = [one.layer for name in MAPS for one in view.linear_maps(name, layer)]
        assert len(found) == len(set(found))
        assert set(found) == {module for module in view.blocks[layer].modules() if isinstance(module, nn.Linear)}


@on_all
def test_equal_values_come_out_of_each_attention_as_they_went_in(architecture: str) -> None:
    model, inputs = tiny(architecture), two_texts()
    for view in views(model):
        outputs = view.linear_maps("mha_output", 0)
        for value, output in zip(view.linear_maps("value", 0), outputs, strict=True):
            shift = torch.randn(value.out_features)
            seen: list[Tensor] = []
            hook = output.layer.register_forward_pre_hook(lambda _, x, seen=seen: seen.append(x[0]))
            model(**inputs)
            shifted = value.layer.register_forward_hook(lambda _, x, y, shift=shift: y + shift)
            model(**inputs)
            hook.remove()
            shifted.remove()
            torch.testing.assert_close(seen[1] - seen[0], shift.expand_as(seen[0]), rtol=0, atol=1e-5)


@on_all
def test_cross_attention_reads_keys_and_values_off_the_encoder(architecture: str) -> None:
    model, inputs = tiny(architecture), two_texts((5,), written=3)
    decoder = views(model)[1]
    for name, own, crossed in (("query", 3, 3), ("key", 3, 5), ("value", 3, 5)):
        lengths: list[int] = []
        for one in decoder.linear_maps(name, 0):  # type: ignore[arg-type]
            one.layer.register_forward_hook(lambda _, x, y, lengths=lengths: lengths.append(x[0].shape[1]))
        model(**inputs)
        assert lengths == [own, crossed]


@on_all
def test_attention_is_ours_in_every_place(architecture: str) -> None:
    model, calls = tiny_generator(architecture), []

    def counted(module: nn.Module, *args: object, **kwargs: object) -> tuple[Tensor, None]:
        calls.append(module)
        return attention(module, *args, **kwargs)  # type: ignore[arg-type]

    expected = tiny_generator(architecture)(**two_texts()).logits
    use_function(model, "lnbench_counted", counted)
    calls.clear()
    torch.testing.assert_close(model(**two_texts()).logits, expected, rtol=0, atol=1e-4)
    assert calls == [place for view, layer in each_block(model) for place in view.attentions(layer)]
    assert len(calls) == ENCODER_LAYERS + 2 * DECODER_LAYERS


def test_attention_that_is_not_ours_is_told_of_by_its_side(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny("t5")
    silent = views(model)[1].attentions(2)[1]
    monkeypatch.setattr(type(silent), "forward", without_attention(silent, type(silent).forward))
    with pytest.raises(ConfigError, match=r"'t5' does not go .* in the layers 3 of its decoder"):
        adapt_attention(model)


def without_attention(silent: nn.Module, forward: object) -> object:
    def changed(self: nn.Module, hidden_states: Tensor, **kwargs: object) -> object:
        if self is silent:
            return hidden_states, kwargs.get("position_bias"), None
        return forward(self, hidden_states, **kwargs)  # type: ignore[operator]

    return changed


def test_the_longest_text() -> None:
    assert longest_text(CONFIGS["t5"]) is None
    assert longest_text(CONFIGS["bart"]) == POSITIONS
    model = tiny("bart")
    assert model(**two_texts((POSITIONS,), written=POSITIONS)).last_hidden_state.shape == (1, POSITIONS, HIDDEN)
