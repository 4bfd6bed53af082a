"""What lnbench relies on in tokenizers 0.23, and what breaks here if it changes."""

from collections.abc import Callable
from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors

SPACE, BYTE_SPACE = "▁", "Ġ"


def byte_level(trim_offsets: bool) -> Tokenizer:
    """As RoBERTa's (trimmed) and GPT-2's (not)."""
    tokenizer = Tokenizer(models.BPE({BYTE_SPACE: 0, "a": 1, "b": 2, BYTE_SPACE + "b": 3}, [(BYTE_SPACE, "b")]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=trim_offsets)
    return tokenizer


def test_a_lone_space_token_has_the_span_of_the_character_after_it() -> None:
    """tasks/tokens/encode.py and windows.py see two tokens with one span in XLM-R, ALBERT and T5."""
    tokenizer = Tokenizer(models.Unigram([("?", 0.0), (SPACE, -1.0), (SPACE + "a", -1.0), ("b", -1.0)], 0))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    encoded = tokenizer.encode("a b")
    assert encoded.tokens == [SPACE + "a", SPACE, "b"]
    assert encoded.offsets == [(0, 1), (2, 3), (2, 3)]


def test_a_token_that_begins_with_a_space_may_include_it_in_its_span() -> None:
    """tasks/tokens/encode.py takes the word of a token's last character, as the first may be the space before it."""
    spans = {trimmed: byte_level(trimmed).encode("a b").offsets for trimmed in (True, False)}
    assert spans == {True: [(0, 1), (2, 3)], False: [(0, 1), (1, 3)]}


def swapped(trim_offsets: bool, make: Callable[..., Any] = processors.ByteLevel) -> Any:
    return make(trim_offsets=not trim_offsets)


@pytest.mark.parametrize(
    ("contract", "name", "changed"),
    [
        (
            test_a_lone_space_token_has_the_span_of_the_character_after_it,
            "tokenizers.pre_tokenizers.Metaspace",
            pre_tokenizers.Whitespace,
        ),
        (
            test_a_token_that_begins_with_a_space_may_include_it_in_its_span,
            "tokenizers.processors.ByteLevel",
            swapped,
        ),
    ],
)
def test_contract_fails_if_the_library_changes(
    contract: Callable[[], None], name: str, changed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(name, changed)
    with pytest.raises(AssertionError):
        contract()
