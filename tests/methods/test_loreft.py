"""LoReFT edits hidden states as its paper says, at the positions that are asked for and nowhere else."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from lnbench.backbone.backbone import Backbone
from lnbench.core.schema import ConfigError
from lnbench.methods.parts.intervention import Intervention
from lnbench.methods.parts.seen_text import SeenText
from tests.tiny import HIDDEN, LAYERS, batch, hidden, part, shake, tiny, tiny_generator, trained, tune

RANK, FIRST, LAST = 3, 2, 1
ARCHITECTURES = ["albert", "bert", "gpt2", "gpt_neox", "llama", "modernbert", "olmo2", "opt"]
everywhere = pytest.mark.parametrize("architecture", ARCHITECTURES)
INPUTS = {
    "padded on the right": batch((7, 2, 4)),
    "padded on the left": {name: tensor.flip(-1) for name, tensor in batch((7, 2, 4)).items()},
    "without a mask": {"input_ids": batch((6, 6))["input_ids"]},
}


def edited(model: PreTrainedModel, **settings: Any) -> PreTrainedModel:
    """In double precision, with edits of the size that trained ones have."""
    tune(model, {"loreft": part("loreft", **{"rank": RANK, "first": FIRST, "last": LAST} | settings)})
    shake(model, scale=0.3)
    return model.double()


def orthonormal(columns: Tensor) -> Tensor:
    """The rows that Gram and Schmidt make of columns."""
    rows: list[Tensor] = []
    for column in columns.T:
        left = column - sum((row @ column * row for row in rows), torch.zeros_like(column))
        rows.append(left / left.norm())
    return torch.stack(rows)


def by_hand(architecture: str, weights: list[dict[str, Tensor]], inputs: dict[str, Tensor]) -> Tensor:
    """Last hidden states of the pretrained model, whose blocks' outputs are edited token by token."""
    model = tiny(architecture).double()
    mask = inputs.get("attention_mask", torch.ones_like(inputs["input_ids"]))
    for block, own in zip(Backbone(model).blocks, weights, strict=True):

        def edit(_: Any, args: Any, output: Any, own: dict[str, Tensor] = own) -> Any:
            states = output[0] if isinstance(output, tuple) else output
            r, changed = orthonormal(own["basis"]), [list(row) for row in states]
            for row, tokens in enumerate(mask):
                places = tokens.nonzero().flatten().tolist()
                for place in {*places[:FIRST], *places[-LAST:]}:
                    h = states[row, place]
                    changed[row][place] = h + r.T @ (own["weight"] @ h + own["bias"] - r @ h)
            new = torch.stack([torch.stack(row) for row in changed])
            return (new, *output[1:]) if isinstance(output, tuple) else new

        block.register_forward_hook(edit)
    states: Tensor = model(**inputs).last_hidden_state
    return states[mask.bool()]


@everywhere
@pytest.mark.parametrize("padding", INPUTS)
def test_outputs_and_gradients_are_those_of_the_paper(architecture: str, padding: str) -> None:
    model, inputs = edited(tiny(architecture)), INPUTS[padding]
    weights = [
        {name: tensor.detach().clone().requires_grad_() for name, tensor in module.named_parameters()}
        for module in model.modules()
        if isinstance(module, Intervention)
    ]
    expected = by_hand(architecture, weights, inputs)
    mask = inputs.get("attention_mask", torch.ones_like(inputs["input_ids"])).bool()
    found = model(**inputs).last_hidden_state[mask]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)
    for states in (found, expected):
        (states * torch.cos(torch.arange(states.numel(), dtype=states.dtype)).view_as(states)).sum().backward()
    theirs = [tensor.grad for own in weights for tensor in own.values()]
    for parameter, gradient in zip(trained(model).values(), theirs, strict=True):
        assert gradient is not None
        assert gradient.abs().sum() > 0
        torch.testing.assert_close(parameter.grad, gradient, rtol=0, atol=1e-9)
    assert (expected - tiny(architecture).double()(**inputs).last_hidden_state[mask]).abs().max() > 0.1


@pytest.mark.parametrize("architecture", ["bert", "gpt2"])
def test_trained_parameters_in_closed_form(architecture: str) -> None:
    model = edited(tiny(architecture), layers="2-3")
    assert sum(parameter.numel() for parameter in trained(model).values()) == 2 * (2 * HIDDEN * RANK + RANK)


def test_parameters_can_be_counted_without_memory() -> None:
    with torch.device("meta"):
        edit = Intervention(SeenText(nn.Identity()), size=8, rank=2, first=1, last=1)
    assert sum(parameter.numel() for parameter in edit.parameters()) == 8 * 2 + 2 * 8 + 2


def test_rows_stay_orthonormal_whatever_is_trained() -> None:
    model = edited(tiny("bert"))
    shake(model, scale=2.0)
    (first, *_) = [module for module in model.modules() if isinstance(module, Intervention)]
    rotation = first.rotation()
    torch.testing.assert_close(rotation @ rotation.T, torch.eye(RANK, dtype=torch.float64))


def test_a_prompt_is_no_text() -> None:
    """Edits of the first two tokens of the text are those of positions 3 and 4 behind a prompt of two vectors."""
    model, seen = tiny("gpt2"), []
    parts = {"loreft": part("loreft", rank=RANK, first=FIRST, last=0), "prompt": part("prompt", length=2)}
    tune(model, parts)
    shake(model, scale=0.3)
    for module in model.modules():
        if isinstance(module, Intervention):
            module.register_forward_hook(lambda _, args, output: seen.append(output.abs().sum(-1) > 0))
    hidden(model, batch((5, 3)))
    assert len(seen) == LAYERS
    for edits in seen:
        assert edits.tolist() == [[False, False, True, True, False, False, False]] * 2


@pytest.mark.parametrize("architecture", ["gpt2", "llama", "opt"])
@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("method", ["loreft", "loreft+prefix", "loreft+prompt"])
def test_generation_with_a_cache_equals_generation_without(architecture: str, beams: int, method: str) -> None:
    """Six tokens are edited: those of the text and some of those that follow it."""
    model: Any = tiny_generator(architecture)
    parts = {name: part(name) for name in method.split("+")}
    tune(model, parts | {"loreft": part("loreft", rank=RANK, first=6, last=0)})
    shake(model, scale=0.5)
    inputs = {name: tensor.flip(-1) for name, tensor in batch((5, 3)).items()}
    options = {"num_beams": beams, "do_sample": False, "pad_token_id": 0, "eos_token_id": None, "max_new_tokens": 8}
    outputs = [model.generate(**inputs, **options, use_cache=use_cache) for use_cache in (True, False)]
    assert torch.equal(*outputs)
    plain: Any = tiny_generator(architecture)
    assert not torch.equal(plain.generate(**inputs, **options), outputs[0])


def test_tokens_that_follow_a_cache_are_counted_on() -> None:
    model: Any = edited(tiny_generator("llama"), first=6, last=0)
    ids = batch((9,))["input_ids"]
    whole = model(ids).logits
    begun = model(ids[:, :4], use_cache=True)
    rest = model(ids[:, 4:], past_key_values=begun.past_key_values).logits
    torch.testing.assert_close(torch.cat([begun.logits, rest], dim=1), whole, rtol=0, atol=1e-9)


@pytest.mark.parametrize("lengths", [(5,), (5, 5)])
def test_a_prompt_in_a_cache_is_no_text(lengths: tuple[int, ...]) -> None:
    """Transformers drops the mask of a batch without padding, so that nothing says where the text began."""
    model: Any = tiny_generator("llama")
    tune(model, {"loreft": part("loreft", rank=RANK, first=8, last=0), "prompt": part("prompt", length=2)})
    shake(model, scale=0.5)
    options = {"do_sample": False, "pad_token_id": 0, "eos_token_id": None, "max_new_tokens": 8}
    outputs = [model.generate(**batch(lengths), **options, use_cache=use_cache) for use_cache in (True, False)]
    assert torch.equal(*outputs)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"first": 0, "last": 0}, r"method\.loreft: first = 0: and last = 0 leave no position"),
        ({"first": -1}, r"method\.loreft\.first = -1"),
        ({"rank": HIDDEN + 1}, rf"method\.loreft\.rank = {HIDDEN + 1}: must be at most {HIDDEN}"),
    ],
)
def test_bad_settings_are_refused_by_name(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        edited(tiny("bert"), **settings)


def test_the_end_of_a_growing_text_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"method\.loreft\.last = 7: must be 0 for a language model"):
        tune(tiny_generator(), "loreft")
