import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lnbench.tasks.tokens.answer_spans import best_answers, best_spans, find_answers, tokens_of

LOGITS = st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9), st.booleans()), min_size=1, max_size=9)


@pytest.mark.parametrize(
    ("start", "end", "span"),
    [
        (0, 3, (0, 0)),
        (4, 7, (1, 1)),
        (5, 6, (1, 1)),  # inside a token
        (2, 5, (0, 1)),
        (3, 7, (1, 1)),  # begins with a space
        (8, 9, (2, 3)),  # one character of two tokens, as a byte tokenizer makes of an emoji
        (3, 4, None),  # only a space
        (9, 12, None),
    ],
)
def test_an_answer_gets_the_tokens_that_it_touches(start: int, end: int, span: tuple[int, int] | None) -> None:
    places = np.array([(0, 3), (4, 7), (8, 9), (8, 9)], np.int32)
    assert tokens_of(places, start, end) == span


@given(LOGITS, st.integers(1, 10), st.integers(1, 30))
def test_the_best_spans_are_those_of_an_exhaustive_search(
    logits: list[tuple[int, int, bool]], longest: int, count: int
) -> None:
    starts = np.array([float(start) if allowed else -np.inf for start, _, allowed in logits])
    ends = np.array([float(end) if allowed else -np.inf for _, end, allowed in logits])
    tokens = range(len(logits))
    every = [((i, j), starts[i] + ends[j]) for i in tokens for j in tokens if 0 <= j - i < longest]
    expected = sorted((score for _, score in every if score > -np.inf), reverse=True)[:count]
    found = best_spans(starts, ends, longest, count)
    assert [score for _, score in found] == expected
    assert len({span for span, _ in found}) == len(found)
    assert all(dict(every)[span] == score for span, score in found)


def test_answers_are_cut_from_the_context_as_it_is_written() -> None:
    context = "In Zürich,  İstanbul\nand Rome"
    places = np.array([(0, 0), (0, 2), (2, 9), (9, 10), (12, 20), (20, 21), (0, 0)], np.int32)
    logits = np.array([(9, 9), (0, 0), (3, 1), (0, 0), (2, 4), (5, 5), (9, 9)], float)
    # The first and the last token are not of the context; the best of the others is only a line break.
    found = list(best_answers(logits, places, context, 3, 4))
    assert found == [("Zürich,  İstanbul", 7.0), ("İstanbul", 7.0), ("İstanbul", 6.0)]


@pytest.mark.parametrize(
    ("text", "given", "found"),
    [("Rome", 0, 0), ("Rome", 12, 12), ("Rome", 8, 12), ("Rome", -3, 0), ("Rome", 99, 21), ("(b", 0, 5)],
)
def test_an_answer_is_found_at_the_nearest_place(text: str, given: int, found: int) -> None:
    answers = {"text": np.array([text], object), "answer_start": np.array([given])}
    assert find_answers(answers, "Rome (b ... Rome and Rome") == {"text": [text], "answer_start": [found]}


@pytest.mark.parametrize(
    "answers",
    [
        None,
        "Rome",
        [],
        {"text": ["Rome"]},
        {"text": ["Paris"], "answer_start": [0]},
        {"text": ["Rome"], "answer_start": []},
        {"text": ["Rome"], "answer_start": ["x"]},
        {"text": [" "], "answer_start": [4]},
        {"text": [None], "answer_start": [4]},
    ],
)
def test_what_is_no_answer_is_not_found(answers: object) -> None:
    assert find_answers(answers, "Rome and Rome") is None
