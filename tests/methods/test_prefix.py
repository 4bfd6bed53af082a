"""A prefix is attended to, and nothing else changes: masks, causality, positions, caches."""

from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import StaticCache

from lnbench.backbone.backbone import Backbone, head_size
from lnbench.core.schema import ConfigError
from lnbench.methods.parts import prefix_attention
from lnbench.methods.parts.prefix_vectors import GeneratedKeyValues, fold_prefixes
from tests.tiny import (
    CONFIGS,
    DECODERS,
    EVERY_ARCHITECTURE,
    HEADS,
    HIDDEN,
    LATER,
    LAYERS,
    batch,
    hidden,
    is_possible,
    part,
    shake,
    tiny,
    tiny_generator,
    trained,
    tune,
)

LENGTH, MLP = 5, 6
ARCHITECTURES = [name for name in EVERY_ARCHITECTURE if is_possible(name, "prefix")]
CAUSAL = [name for name in DECODERS if name in ARCHITECTURES]
SUM = "ln+prefix+mha_adapter"
GENERATIONS = [
    *((name, method, beams) for name in CAUSAL if name not in LATER for method in ("prefix", SUM) for beams in (1, 3)),
    *((name, SUM if is_possible(name, SUM) else "prefix", 3) for name in CAUSAL if name in LATER),
]


def with_prefix(model: Any, **settings: Any) -> Any:
    tune(model, {"prefix": part("prefix", length=LENGTH, **settings)})
    shake(model, scale=1.0)
    return model


@pytest.fixture
def blocked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hides all prefixes from all queries."""
    visible = prefix_attention.prefix_mask

    def mask(mask: Tensor | None, query: Tensor, key: Tensor, length: int, causal: bool) -> Tensor:
        seen = visible(mask, query, key, length, causal)
        if seen is None:
            seen = torch.ones(1, 1, query.shape[2], length + key.shape[2], dtype=torch.bool)
        return torch.cat([torch.zeros_like(seen[..., :length]), seen[..., length:]], dim=-1)

    monkeypatch.setattr(prefix_attention, "prefix_mask", mask)


@pytest.mark.usefixtures("blocked")
@pytest.mark.parametrize("lengths", [(7, 4), (6, 6)], ids=["padded", "unpadded"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_prefix_that_nobody_sees_is_no_prefix(architecture: str, lengths: tuple[int, ...]) -> None:
    inputs = batch(lengths)
    expected = hidden(tiny(architecture), inputs)
    torch.testing.assert_close(hidden(with_prefix(tiny(architecture)), inputs), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_prefix_is_seen(architecture: str) -> None:
    inputs = batch()
    assert (hidden(with_prefix(tiny(architecture)), inputs) - hidden(tiny(architecture), inputs)).abs().max() > 0.1


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_padding_stays_invisible(architecture: str) -> None:
    model = with_prefix(tiny(architecture))
    short = batch((4,))
    padded = {name: torch.nn.functional.pad(tensor, (0, 3)) for name, tensor in short.items()}
    torch.testing.assert_close(hidden(model, padded), hidden(model, short), rtol=0, atol=1e-5)


@pytest.mark.parametrize("architecture", CAUSAL)
def test_later_tokens_stay_invisible_to_a_decoder(architecture: str) -> None:
    model = with_prefix(tiny(architecture))
    whole = batch((7,))
    start = {name: tensor[:, :4] for name, tensor in whole.items()}
    torch.testing.assert_close(hidden(model, whole)[:4], hidden(model, start), rtol=0, atol=1e-5)


@pytest.mark.parametrize("architecture", [name for name in ARCHITECTURES if name != "albert"])
def test_layers_without_a_prefix_are_as_before(architecture: str) -> None:
    model = with_prefix(tiny(architecture), layers=str(LAYERS))
    inputs = batch()
    before = tiny(architecture)(**inputs, output_hidden_states=True).hidden_states
    after = model(**inputs, output_hidden_states=True).hidden_states
    torch.testing.assert_close(after[LAYERS - 1], before[LAYERS - 1], rtol=0, atol=1e-5)
    assert (after[LAYERS] - before[LAYERS]).abs().max() > 0.01


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_full_length_inputs_leave_room_for_a_prefix(architecture: str) -> None:
    model = with_prefix(tiny(architecture))
    longest = model.config.max_position_embeddings - Backbone(model).table.reserved_positions
    assert hidden(model, batch((longest,))).shape == (longest, Backbone(model).output_size)


@pytest.mark.parametrize(("architecture", "method", "beams"), GENERATIONS)
def test_generation_with_a_cache_equals_generation_without(architecture: str, method: str, beams: int) -> None:
    model = tiny_generator(architecture)
    tune(model, method)
    shake(model, scale=0.5)
    outputs = [_generate(model, beams, use_cache=use_cache) for use_cache in (True, False)]
    assert torch.equal(*outputs)
    assert not torch.allclose(model(**batch()).logits, tiny_generator(architecture)(**batch()).logits, atol=0.1)


def test_generation_with_a_static_cache_equals_generation_without() -> None:
    model = with_prefix(tiny_generator())
    cache = StaticCache(config=model.config, max_cache_len=16)
    static = _generate(model, beams=1, past_key_values=cache)
    assert torch.equal(static, _generate(model, beams=1, use_cache=False))


def test_the_prefix_never_enters_the_cache() -> None:
    model = with_prefix(tiny_generator())
    output = model(**batch((7,)), use_cache=True)
    assert output.past_key_values.layers[0].keys.shape == (1, HEADS, 7, HIDDEN // HEADS)


@pytest.mark.parametrize("architecture", sorted(set(EVERY_ARCHITECTURE) - set(ARCHITECTURES)))
def test_attention_that_calls_no_function_is_refused(architecture: str) -> None:
    kind = CONFIGS[architecture].model_type
    with pytest.raises(ConfigError, match=f"prefix has no place in the architecture '{kind}'"):
        with_prefix(tiny(architecture))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_an_mlp_gives_every_layer_keys_and_values_of_its_own(architecture: str) -> None:
    model = with_prefix(tiny(architecture), mlp_size=MLP)
    prefixes = [module() for module in model.modules() if isinstance(module, GeneratedKeyValues)]
    config = model.config
    heads = getattr(config, "num_key_value_heads", config.num_attention_heads)
    assert len(prefixes) == Backbone(model).num_layers
    assert {tensor.shape for pair in prefixes for tensor in pair} == {(heads, LENGTH, head_size(config))}
    assert len({tensor.sum().item() for pair in prefixes for tensor in pair}) == 2 * len(prefixes)


def test_the_size_of_an_mlp() -> None:
    model = with_prefix(tiny("bert"), mlp_size=MLP)
    size = LENGTH * HIDDEN + (HIDDEN + 1) * MLP + LAYERS * (MLP + 1) * 2 * HIDDEN
    assert sum(parameter.numel() for parameter in trained(model).values()) == size


@pytest.mark.parametrize("checkpointing", [False, True])
def test_all_of_an_mlp_learns(checkpointing: bool) -> None:
    model = with_prefix(tiny("bert"), mlp_size=MLP).train()
    if checkpointing:
        model.activation_checkpointing_enable({"use_reentrant": False})
    hidden(model, batch()).pow(2).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in trained(model).values())


def test_folding_keeps_the_function_and_drops_the_mlp() -> None:
    model, plain, inputs = with_prefix(tiny("bert"), mlp_size=MLP), with_prefix(tiny("bert")), batch()
    expected = hidden(model, inputs)
    fold_prefixes(model)
    torch.testing.assert_close(hidden(model, inputs), expected)
    assert set(model.state_dict()) == set(plain.state_dict())


def test_folding_leaves_a_plain_prefix_alone() -> None:
    model, inputs = with_prefix(tiny("bert")), batch()
    before, expected = dict(model.named_parameters()), hidden(model, inputs)
    fold_prefixes(model)
    assert dict(model.named_parameters()) == before
    torch.testing.assert_close(hidden(model, inputs), expected, rtol=0, atol=0)


def _generate(model: Any, beams: int, **options: Any) -> Tensor:
    left_padded = {name: tensor.flip(-1) for name, tensor in batch().items()}
    generated = model.generate(
        **left_padded, max_new_tokens=8, num_beams=beams, do_sample=False, pad_token_id=0, eos_token_id=None, **options
    )
    assert isinstance(generated, Tensor)
    return generated
