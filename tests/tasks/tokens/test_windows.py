import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lnbench.core.errors import DataError
from lnbench.tasks.tokens.examples import Examples
from lnbench.tasks.tokens.windows import NO_ANSWER, PLACES, ROW, tokenise_windows
from tests.tasks.builders import new_byte_tokenizer, new_tokenizer, tokenizer_of

PIECES = [
    "a",
    " a",
    "b",
    "Bé",
    "ß",
    "İ",
    "中文",
    "😀",
    "e\u0301",
    "\u200b",
    "\x07",
    ".",
    "'s",
    "-",
    "  ",
    "\n",
    "\t",
    "\xa0",
]
TEXTS = st.lists(st.sampled_from(PIECES), min_size=1, max_size=40).map("".join)
LONG = "The École Normale, in Paris's 5th arrondissement (est. 1794),  taught Évariste Galois 😀 until 1831. " * 3


def part(examples: Examples, window: int) -> slice:
    return slice(*examples.offsets[window : window + 2])


def answer_in(examples: Examples, window: int, context: str) -> str | None:
    """The text that a window's labels mark."""
    first, last = examples.labels[window]
    if first == examples.extras[NO_ANSWER][window]:
        assert last == first
        return None
    places = examples.extras[PLACES][part(examples, window)]
    return context[places[first, 0] : places[last, 1]]


@pytest.mark.parametrize("kind", ["bytes", "minilm"])
@given(TEXTS, st.data())
def test_every_answer_is_found_up_to_the_tokens_boundaries(kind: str, context: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(context) - 1))
    end = data.draw(st.integers(start + 1, len(context)))
    stride = data.draw(st.integers(0, 12))
    tokenizer = tokenizer_of(kind)
    examples = tokenise_windows(tokenizer, ["b  b"], [context], [(start, end)], max_length=stride + 9, stride=stride)
    offsets = tokenizer(context, add_special_tokens=False).encodings[0].offsets
    touched = [(left, right) for left, right in offsets if left < end and right > start]
    found = [answer_in(examples, window, context) for window in range(len(examples))]
    marked = {text for text in found if text is not None}
    if not touched:
        assert not marked
        return
    assert marked <= {context[touched[0][0] : touched[-1][1]]}
    if len(touched) <= stride + 1:
        assert marked, "an answer of at most stride + 1 tokens is whole in some window"
    answer = context[start:end]
    if kind == "bytes" and answer == answer.strip():
        assert all(text.strip() == answer for text in marked)


@pytest.mark.parametrize(("max_length", "stride"), [(24, 5), (30, 0), (40, 20), (500, 100)])
def test_windows_are_those_of_the_tokenizer_itself(max_length: int, stride: int) -> None:
    tokenizer, questions, contexts = tokenizer_of("minilm"), ["Who taught?", "a"], [LONG, "Short one."]
    examples = tokenise_windows(tokenizer, questions, contexts, [None, None], max_length=max_length, stride=stride)
    theirs = tokenizer(
        questions,
        contexts,
        truncation="only_second",
        max_length=max_length,
        stride=stride,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )
    rows = range(len(examples))
    assert [examples.tokens[part(examples, row)].tolist() for row in rows] == theirs["input_ids"]
    assert examples.token_types is not None
    assert [examples.token_types[part(examples, row)].tolist() for row in rows] == theirs["token_type_ids"]
    assert examples.extras[ROW].tolist() == theirs["overflow_to_sample_mapping"]
    for row in rows:
        places = zip(theirs["offset_mapping"][row], theirs.sequence_ids(row), strict=True)
        expected = [list(place) if text == 1 else [0, 0] for place, text in places]
        assert examples.extras[PLACES][part(examples, row)].tolist() == expected


def test_a_model_without_cls_gets_a_line_break_between_and_an_end_of_text_that_means_no_answer() -> None:
    tokenizer = new_byte_tokenizer()
    examples = tokenise_windows(tokenizer, ["b?"], ["cdef"], [(2, 3)], max_length=6, stride=1)
    texts = [tokenizer.decode(examples.tokens[part(examples, window)]) for window in range(len(examples))]
    assert texts == ["b?\ncd<|endoftext|>", "b?\nde<|endoftext|>", "b?\nef<|endoftext|>"]
    assert examples.labels.tolist() == [[5, 5], [4, 4], [3, 3]]
    assert examples.extras[NO_ANSWER].tolist() == [5, 5, 5]
    assert examples.token_types is None


def test_a_model_with_cls_gets_it_as_no_answer() -> None:
    examples = tokenise_windows(new_tokenizer(), ["a"], ["b c d e"], [(2, 5)], max_length=7, stride=1)
    assert examples.labels.tolist() == [[4, 5], [0, 0]]
    assert examples.extras[NO_ANSWER].tolist() == [0, 0]
    assert examples.token_types is not None
    assert examples.token_types.tolist() == [0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 1, 1, 1]


def test_a_repeated_answer_is_learned_where_it_is_given() -> None:
    examples = tokenise_windows(new_tokenizer(), ["a", "a"], ["b c b c"] * 2, [(0, 1), (4, 5)], max_length=9, stride=1)
    assert examples.labels.tolist() == [[3, 3], [5, 5]]


def test_white_space_in_a_question_costs_no_tokens() -> None:
    tokenizer = new_byte_tokenizer()
    spaced, plain = (
        tokenise_windows(tokenizer, [text], ["c"], [None], max_length=12, stride=0) for text in ("  b \n  b", "b b")
    )
    assert np.array_equal(spaced.tokens, plain.tokens)


def test_a_question_that_leaves_no_room_is_named() -> None:
    message = r"task.max_length = 9: question 'a b c d' has 4 tokens and leaves 2 to its context, .* task.stride = 2;"
    with pytest.raises(DataError, match=message):
        tokenise_windows(new_tokenizer(), ["a", "a b c d"], ["b", "b"], [None, None], max_length=9, stride=2)


def test_a_tokenizer_without_a_token_for_no_answer_is_refused() -> None:
    message = r"^model.source = .*neither a first token for the whole text nor an end-of-text token.* write its"
    with pytest.raises(DataError, match=message):
        tokenise_windows(new_tokenizer(special=False), ["a"], ["b"], [None], max_length=9, stride=2)


def test_a_context_without_tokens_has_no_places() -> None:
    examples = tokenise_windows(tokenizer_of("minilm"), ["a"], ["\x07"], [(0, 1)], max_length=9, stride=2)
    assert examples.labels.tolist() == [[0, 0]]
    assert not examples.extras[PLACES].any()
