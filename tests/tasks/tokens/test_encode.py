from typing import Any

import numpy as np
import pytest
from transformers import PreTrainedTokenizerFast

from lnbench.core.errors import DataError
from lnbench.tasks.tokens import encode
from lnbench.tasks.tokens.encode import tokenise, tokenise_words, tokenizer_identity
from lnbench.tasks.tokens.examples import Examples
from tests.tasks.builders import WORDS, new_tokenizer


def words(examples: Examples) -> list[str]:
    return [" ".join(WORDS[token] for token in row) for row in np.split(examples.tokens, examples.offsets[1:-1])]


def test_single_texts_are_cut_to_the_limit(tokenizer: PreTrainedTokenizerFast) -> None:
    examples = tokenise(tokenizer, ["a b c d e", "good"], labels=np.array([0, 1]), max_length=5)
    assert words(examples) == ["[CLS] a b c [SEP]", "[CLS] good [SEP]"]
    assert examples.token_types is None


def test_pairs_lose_the_end_of_the_longer_text_and_have_segments(tokenizer: PreTrainedTokenizerFast) -> None:
    examples = tokenise(tokenizer, ["a b c d e"], ["good"], labels=np.array([0]), max_length=7)
    assert words(examples) == ["[CLS] a b c [SEP] good [SEP]"]
    assert examples.token_types is not None
    assert examples.token_types.tolist() == [0, 0, 0, 0, 0, 1, 1]


def test_a_model_without_segments_gets_none() -> None:
    examples = tokenise(new_tokenizer(segments=False), ["a"], ["b"], labels=np.array([0]), max_length=8)
    assert examples.token_types is None


def test_a_tokenizer_without_separator_gets_a_line_break_in_pairs() -> None:
    tokenizer = new_tokenizer(special=False)
    tokenizer.backend_tokenizer.pre_tokenizer = None  # a word of the vocabulary is the whole text
    tokenizer.add_tokens(["\na"])
    examples = tokenise(tokenizer, ["b"], ["a"], labels=np.array([0]), max_length=8)
    assert tokenizer.convert_ids_to_tokens(examples.tokens.tolist()) == ["b", "\na"]


def test_without_padding_token_the_end_token_pads() -> None:
    assert tokenise(new_tokenizer(), ["a"], labels=np.array([0]), max_length=8).pad_id == WORDS.index("[PAD]")
    tokenizer = new_tokenizer(pad=False)
    assert tokenise(tokenizer, ["a"], labels=np.array([0]), max_length=8).pad_id == WORDS.index("[SEP]")
    tokenizer.eos_token = None
    with pytest.raises(DataError, match=r"^model.source = .*neither a padding nor an end-of-text token; write"):
        tokenise(tokenizer, ["a"], labels=np.array([0]), max_length=8)


def test_rows_are_the_same_a_few_at_a_time(tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch) -> None:
    texts, labels = ["a b c d e", "good", "a b c d e good", "a", "b c"], np.arange(5)
    sentences, tags = [text.split() for text in texts], [[0] * len(text.split()) for text in texts]

    def everything() -> list[dict[str, Any]]:
        pairs = tokenise(tokenizer, texts, texts[::-1], labels=labels, max_length=9)
        taggings = tokenise_words(tokenizer, sentences, tags, max_length=5)
        return [{name: array.tolist() for name, array in one.to_arrays().items()} for one in (pairs, taggings)]

    at_once = everything()
    monkeypatch.setattr(encode, "CHUNK", 2)
    assert everything() == at_once


def test_what_is_cut_off_is_counted(tokenizer: PreTrainedTokenizerFast) -> None:
    examples = tokenise(tokenizer, ["a b c d e", "a b c", "good"], labels=np.zeros(3), max_length=5)
    assert examples.extras["cut"].tolist() == [2, 0, 0]
    examples = tokenise(tokenizer, ["a b c d e", "a"], ["a b", "b"], labels=np.zeros(2), max_length=8)
    assert examples.extras["cut"].tolist() == [2, 0]


def test_a_text_without_tokens_is_named() -> None:
    with pytest.raises(DataError, match=r"^' ' has no token .*leave its row out"):
        tokenise(new_tokenizer(special=False), ["a", " "], labels=np.array([0, 1]), max_length=8)


def test_identity_ignores_use_and_sees_settings() -> None:
    tokenizer = new_tokenizer()
    fresh = tokenizer_identity(tokenizer)
    tokenizer(["a b c", "a"], truncation=True, max_length=3, padding=True)
    assert tokenizer_identity(tokenizer) == fresh == tokenizer_identity(new_tokenizer())
    others = [new_tokenizer(segments=False), new_tokenizer(special=False), new_tokenizer(pad=False)]
    assert len({fresh, *map(tokenizer_identity, others)}) == 4
    tokenizer.add_tokens(["f"])
    assert tokenizer_identity(tokenizer) != fresh
