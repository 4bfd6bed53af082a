"""A prompt acts as text before the text, and nobody outside the model notices its length."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import BertConfig, BertModel, PreTrainedModel, StaticCache

from lnbench.core.schema import ConfigError
from lnbench.training.assemble import check_length
from tests.conftest import Configure
from tests.tiny import (
    DECODERS,
    EVERY_ARCHITECTURE,
    HIDDEN,
    LATER,
    LAYERS,
    POSITIONS,
    VOCABULARY,
    batch,
    hidden,
    part,
    shake,
    tiny,
    tiny_generator,
    trained,
    tune,
)

LENGTH = 5
WORDS = torch.arange(10, 10 + LENGTH)


def with_prompt(model: Any, length: int = LENGTH) -> Any:
    tune(model, {"prompt": part("prompt", length=length)})
    return model


def saying(words: Tensor, model: PreTrainedModel) -> PreTrainedModel:
    """Makes the prompt the embeddings of words."""
    with torch.no_grad():
        vectors(model).copy_(model.get_input_embeddings()(words))
    return model


def vectors(model: PreTrainedModel) -> Tensor:
    (prompt,) = trained(model).values()
    return prompt


def spelt_out(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same texts with the prompt's words in front."""
    rows = len(inputs["input_ids"])
    return {
        "input_ids": torch.cat([WORDS.expand(rows, -1), inputs["input_ids"]], dim=1),
        "attention_mask": torch.cat([torch.ones(rows, LENGTH, dtype=torch.long), inputs["attention_mask"]], dim=1),
    }


@pytest.mark.parametrize("architecture", EVERY_ARCHITECTURE)
def test_a_prompt_of_words_acts_as_these_words_before_the_text(architecture: str) -> None:
    inputs = batch()
    expected = tiny(architecture)(**spelt_out(inputs)).last_hidden_state[:, LENGTH:]
    output = saying(WORDS, with_prompt(tiny(architecture)))(**inputs).last_hidden_state
    real = inputs["attention_mask"].bool()
    torch.testing.assert_close(output[real], expected[real], rtol=0, atol=1e-5)


@pytest.mark.parametrize("architecture", EVERY_ARCHITECTURE)
def test_padding_stays_invisible(architecture: str) -> None:
    model = with_prompt(tiny(architecture))
    short = batch((4,))
    padded = {name: torch.nn.functional.pad(tensor, (0, 3)) for name, tensor in short.items()}
    torch.testing.assert_close(hidden(model, padded), hidden(model, short), rtol=0, atol=1e-5)


@pytest.mark.parametrize("architecture", sorted({*DECODERS} - {"bloom", "falcon_rw"}))
def test_padding_on_the_left_stays_invisible(architecture: str) -> None:
    """Also in layers with a window, which counts the padding (4 tokens in the tiny models)."""
    model = with_prompt(tiny(architecture))
    short = batch((4,))
    padded = {name: torch.nn.functional.pad(tensor, (3, 0)) for name, tensor in short.items()}
    positions = torch.tensor([[0, 0, 0, 0, 1, 2, 3]])
    alone = hidden(model, short)
    torch.testing.assert_close(hidden(model, {**padded, "position_ids": positions}), alone, rtol=0, atol=1e-5)


@pytest.mark.parametrize("architecture", ["bloom", "falcon_rw", "gemma3", "gpt2", "gpt_neo", "mistral", "opt"])
def test_a_row_padded_on_the_left_is_continued_as_alone(architecture: str) -> None:
    model = with_prompt(tiny_generator(architecture))
    shake(model, scale=1.0)
    rows = {name: tensor.flip(-1) for name, tensor in batch((9, 3)).items()}
    alone = {name: tensor[1:, 6:] for name, tensor in rows.items()}
    assert torch.equal(generate(model, 1, rows)[1, 9:], generate(model, 1, alone)[0, 3:])


@pytest.mark.parametrize("architecture", EVERY_ARCHITECTURE)
def test_all_outputs_have_the_length_of_the_text(architecture: str) -> None:
    inputs = batch((7,))
    output = with_prompt(tiny(architecture))(**inputs, output_hidden_states=True)
    assert output.last_hidden_state.shape[:2] == (1, 7)
    assert {states.shape[1] for states in output.hidden_states} == {7}


def test_the_mask_may_be_left_out() -> None:
    model, inputs = with_prompt(tiny("bert")), batch((6, 6))
    without = model(inputs["input_ids"]).last_hidden_state
    torch.testing.assert_close(without, model(**inputs).last_hidden_state)


def test_segments_and_positions_may_be_given() -> None:
    model, inputs = with_prompt(tiny("bert")), batch((6, 6))
    zeros, positions = torch.zeros(2, 6, dtype=torch.long), torch.arange(6).expand(2, -1)
    given = model(**inputs, token_type_ids=zeros, position_ids=positions).last_hidden_state
    torch.testing.assert_close(given, model(**inputs).last_hidden_state)
    other = model(**inputs, token_type_ids=zeros + 1).last_hidden_state
    assert (other - given).abs().max() > 0.01


def test_the_pooler_reads_the_first_token_of_the_text() -> None:
    model, inputs = with_prompt(tiny("bert")), batch()
    output = model(**inputs)
    torch.testing.assert_close(output.pooler_output, model.pooler(output.last_hidden_state))


@pytest.mark.parametrize(
    ("architecture", "beams"),
    [(name, beams) for name in DECODERS for beams in (1, 3) if name not in LATER or beams > 1],
)
def test_generation_with_a_cache_equals_generation_without(architecture: str, beams: int) -> None:
    model = with_prompt(tiny_generator(architecture))
    shake(model, scale=1.0)
    cached, uncached = (generate(model, beams, use_cache=use_cache) for use_cache in (True, False))
    assert torch.equal(cached, uncached)
    assert not torch.allclose(model(**batch()).logits, tiny_generator(architecture)(**batch()).logits, atol=0.01)


@pytest.mark.parametrize("architecture", DECODERS)
def test_generation_after_a_prompt_of_words_continues_these_words(architecture: str) -> None:
    inputs = batch((4, 4))
    prompted = generate(saying(WORDS, with_prompt(tiny_generator(architecture))), 1, inputs)
    spelt = generate(tiny_generator(architecture), 1, spelt_out(inputs))
    assert torch.equal(prompted, spelt[:, LENGTH:])


def test_a_language_model_has_logits_for_the_text_only() -> None:
    model, inputs = with_prompt(tiny_generator()), batch((7,))
    output = model(**inputs, labels=inputs["input_ids"])
    assert output.logits.shape == (1, 7, VOCABULARY)
    assert output.past_key_values.get_seq_length() == LENGTH + 7


def test_a_static_cache_is_refused() -> None:
    model = with_prompt(tiny_generator())
    with pytest.raises(ValueError, match="use a dynamic cache"):
        generate(model, 1, past_key_values=StaticCache(config=model.config, max_cache_len=32))


@pytest.mark.parametrize("architecture", ["bert", "gemma3"])
def test_prompts_start_as_words(architecture: str) -> None:
    """As the blocks see them: Gemma's embedding scales what it holds."""
    model = with_prompt(tiny(architecture))
    words = model.get_input_embeddings()(torch.arange(VOCABULARY))
    assert (vectors(model)[:, None] == words).all(dim=-1).any(dim=-1).all()


@pytest.mark.parametrize("architecture", ["bert", "roberta", "opt", "gpt2"])
def test_the_longest_text_leaves_room_for_the_prompt(architecture: str) -> None:
    model, longest = with_prompt(tiny(architecture)), POSITIONS - LENGTH
    assert hidden(model, batch((longest,))).shape == (longest, HIDDEN)
    with pytest.raises(ConfigError, match=rf"length = {LENGTH}: with a text of {longest + 1} .* have {longest} tokens"):
        model(**batch((longest + 1,)))


@pytest.mark.parametrize("architecture", ["deberta_v2", "gpt_neox", "llama"])
def test_relative_positions_set_no_limit(architecture: str) -> None:
    model = with_prompt(tiny(architecture))
    assert len(hidden(model, batch((POSITIONS,)))) == POSITIONS


def test_the_longest_text_is_checked_before_a_model_is_loaded(configure: Configure) -> None:
    prompt = ("method=prompt+ln", f"method.prompt.length={LENGTH}")
    check_length(configure(*prompt, f"task.max_length={POSITIONS - LENGTH}"))
    message = rf"{POSITIONS} positions, of which ln\+prompt takes {LENGTH}; choose {POSITIONS - LENGTH} or less"
    with pytest.raises(ConfigError, match=message):
        check_length(configure(*prompt, f"task.max_length={POSITIONS}"))


@pytest.mark.parametrize(
    ("length", "left"),
    [(POSITIONS - 1, "leaves 1 tokens to a text"), (POSITIONS + 1, "leaves no room for text")],
)
def test_the_advice_on_too_long_a_prompt_can_be_followed(configure: Configure, length: int, left: str) -> None:
    texts = "task.max_length=16"
    message = rf"{left}; tiny has {POSITIONS} positions; choose {POSITIONS - 16} or less beside task.max_length = 16"
    with pytest.raises(ConfigError, match=rf"^method\.prompt\.length = {length}: {message}$"):
        check_length(configure("method=prompt", f"method.prompt.length={length}", texts))
    check_length(configure("method=prompt", f"method.prompt.length={POSITIONS - 16}", texts))


@pytest.mark.parametrize("length", [POSITIONS, POSITIONS + 1])
def test_a_prompt_that_leaves_no_room_for_text_is_refused(length: int) -> None:
    with pytest.raises(
        ConfigError,
        match=rf"method\.prompt\.length = {length}: leaves no room for text; the model has {POSITIONS} positions",
    ):
        with_prompt(tiny("bert"), length)


def test_a_copy_has_a_prompt_of_its_own() -> None:
    model, inputs = with_prompt(tiny("bert")), batch()
    twin = copy.deepcopy(model)
    before = hidden(model, inputs)
    shake(twin, scale=1.0)
    assert torch.equal(hidden(model, inputs), before)
    assert (hidden(twin, inputs) - before).abs().max() > 0.01


def test_a_model_without_pooler_has_none_with_a_prompt() -> None:
    model = BertModel(BertConfig(num_hidden_layers=LAYERS, hidden_size=HIDDEN, num_attention_heads=4), False)
    assert with_prompt(model)(**batch()).pooler_output is None


def generate(model: Any, beams: int, inputs: dict[str, Tensor] | None = None, **options: Any) -> Tensor:
    left_padded = inputs or {name: tensor.flip(-1) for name, tensor in batch().items()}
    generated = model.generate(
        **left_padded, max_new_tokens=8, num_beams=beams, do_sample=False, pad_token_id=0, eos_token_id=None, **options
    )
    assert isinstance(generated, Tensor)
    return generated
