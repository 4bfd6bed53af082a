import copy

import pytest
import torch
from torch import nn

from lnbench.backbone.backbone import Backbone, longest_text, role_table
from tests import tiny


def backbone(architecture: str) -> Backbone:
    return Backbone(tiny.tiny(architecture))


@pytest.mark.parametrize("architecture", tiny.EVERY_ARCHITECTURE)
def test_every_role_of_a_block_is_there(architecture: str) -> None:
    view = backbone(architecture)
    assert view.num_layers == len(view.pretrained) >= 1
    for layer in range(view.num_layers):
        for sublayer in ("mha", "ffn"):
            assert view.output_of(sublayer, layer).get_parameter("weight").ndim == 2  # type: ignore[arg-type]
            assert view.reader_of(sublayer, layer).get_parameter("weight").ndim == 2  # type: ignore[arg-type]
            for reading in ("position", "sublayer"):
                norm = view.norm_after(sublayer, layer, reading)  # type: ignore[arg-type]
                assert norm.get_parameter("weight").shape == (tiny.HIDDEN,)


@pytest.mark.parametrize("architecture", tiny.EVERY_ARCHITECTURE)
def test_the_projections_are_those_that_attention_uses(architecture: str) -> None:
    view = backbone(architecture)
    for layer in range(view.num_layers):
        for name in ("query", "key", "value", "mha_output", "ffn_output"):
            (projection,) = view.linear_maps(name, layer)  # type: ignore[arg-type]
            assert projection.out_features <= projection.in_features or name != "mha_output"
        (query,), (key,) = view.linear_maps("query", layer), view.linear_maps("key", layer)
        assert query.in_features == key.in_features == tiny.HIDDEN


@pytest.mark.parametrize("architecture", tiny.EVERY_ARCHITECTURE)
def test_what_a_block_adds_to_the_stream_comes_from_its_outputs(architecture: str) -> None:
    """With both outputs silenced, a pre-LN block changes nothing; a post-LN block only normalises."""
    view = backbone(architecture)
    seen: list[torch.Tensor] = []
    for layer in range(view.num_layers):
        for sublayer in ("mha", "ffn"):
            output = view.output_of(sublayer, layer)  # type: ignore[arg-type]
            output.register_forward_hook(
                lambda module, arguments, result: seen.append(result) or torch.zeros_like(result)
            )
    with torch.no_grad():
        silenced = tiny.hidden(view.model, tiny.batch())
    assert len(seen) >= 2 * view.num_layers
    again = backbone(architecture)
    with torch.no_grad():
        for layer in range(again.num_layers):
            for sublayer in ("mha", "ffn"):
                for parameter in again.output_of(sublayer, layer).parameters():  # type: ignore[arg-type]
                    parameter.zero_()
        assert torch.allclose(tiny.hidden(again.model, tiny.batch()), silenced, atol=1e-5)


@pytest.mark.parametrize(
    ("architecture", "reading", "names"),
    [
        ("bert", "position", ["encoder.layer.0.attention.output.LayerNorm", "encoder.layer.0.output.LayerNorm"]),
        ("bert", "sublayer", ["encoder.layer.0.attention.output.LayerNorm", "encoder.layer.0.output.LayerNorm"]),
        ("gpt2", "position", ["h.0.ln_2", "h.1.ln_1"]),
        ("gpt2", "sublayer", ["h.0.ln_1", "h.0.ln_2"]),
    ],
)
def test_norms_after_a_sublayer_follow_the_reading(architecture: str, reading: str, names: list[str]) -> None:
    view = backbone(architecture)
    found = [view.norm_after(sublayer, 0, reading) for sublayer in ("mha", "ffn")]  # type: ignore[arg-type]
    assert [name_of(view, norm) for norm in found] == names


def name_of(view: Backbone, module: nn.Module) -> str:
    return next(name for name, candidate in view.base.named_modules() if candidate is module)


def test_the_norm_after_the_last_block_is_the_final_one() -> None:
    gpt2, bert = backbone("gpt2"), backbone("bert")
    last = gpt2.num_layers - 1
    assert gpt2.norm_after("ffn", last, "position") is gpt2.final_norm()
    assert name_of(gpt2, gpt2.norm_after("ffn", last, "position")) == "ln_f"
    assert bert.final_norm() is None


def test_norms_before_all_blocks() -> None:
    gpt2, bert = backbone("gpt2"), backbone("bert")
    for reading in ("position", "sublayer"):
        norm = bert.norm_before_blocks(reading)  # type: ignore[arg-type]
        assert norm is not None
        assert name_of(bert, norm) == "embeddings.LayerNorm"
    first = gpt2.norm_before_blocks("position")
    assert first is not None
    assert name_of(gpt2, first) == "h.0.ln_1"
    assert gpt2.norm_before_blocks("sublayer") is None


@pytest.mark.parametrize("architecture", tiny.EVERY_ARCHITECTURE)
def test_the_longest_text_fits_and_a_longer_one_does_not(architecture: str) -> None:
    model = tiny.tiny(architecture)
    longest = longest_text(model.config)
    if longest is None:
        return
    with torch.no_grad():
        tiny.hidden(model, tiny.batch([longest]))
        with pytest.raises((IndexError, RuntimeError)):
            tiny.hidden(model, tiny.batch([longest + 1]))


def test_a_variant_has_a_table_of_its_own() -> None:
    config = copy.deepcopy(tiny.CONFIGS["gpt_neox"])
    assert role_table(config).placement == "parallel"
    config.use_parallel_residual = False
    assert role_table(config).placement == "pre"
