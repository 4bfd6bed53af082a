"""Answers as parts of a text and as runs of tokens: finds given answers, and the best ones by their logits."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lnbench.tasks.parts.checks import is_text


class Span(NamedTuple):
    """A run of tokens from `first` to `last`, both included."""

    first: int
    last: int


def tokens_of(places: NDArray[np.int32], start: int, end: int) -> Span | None:
    """The shortest run of tokens that covers the text from `start` to `end`, or None if no token lies there.

    Args:
        places: (T, 2), for each token its first character in the text and the one after its last, in their order.
        start: the first character.
        end: the character after the last one.
    """
    first = int(np.searchsorted(places[:, 1], start, side="right"))
    last = int(np.searchsorted(places[:, 0], end, side="left")) - 1
    return Span(first, last) if first <= last else None


def best_spans(
    starts: NDArray[np.float64], ends: NDArray[np.float64], longest: int, count: int
) -> list[tuple[Span, float]]:
    """The runs with the highest sums of start and end logit, each with its sum, the highest first.

    All runs are compared, not only those between the likeliest starts and ends.

    Args:
        starts: (T,) logits that a run starts at a token; -inf where none may.
        ends: (T,) logits that a run ends at a token.
        longest: most tokens of a run.
        count: most runs to return.
    """
    beyond = np.full(longest - 1, -np.inf)
    later = np.lib.stride_tricks.sliding_window_view(np.concatenate([ends, beyond]), longest)
    scores = (starts[:, None] + later).ravel()  # run i * longest + j starts at token i and has j + 1 tokens
    best = np.argpartition(-scores, min(count, len(scores)) - 1)[:count]
    ranked = best[np.lexsort([best, -scores[best]])]
    return [
        (Span(run // longest, run // longest + run % longest), score)
        for run, score in zip(ranked.tolist(), scores[ranked].tolist(), strict=True)
        if score > -np.inf
    ]


def best_answers(
    logits: NDArray[np.float64], places: NDArray[np.int32], context: str, longest: int, count: int
) -> Iterator[tuple[str, float]]:
    """The best answers of one window as texts, each with its sum of start and end logit, the best first.

    Args:
        logits: (T, 2), for each token the logits that it is the start, and the end.
        places: (T, 2), for each token its first character in the context and the one after its last. A token without
            characters is in no answer.
        context: text from which the answers are cut.
        longest: most tokens of an answer.
        count: most answers.
    """
    outside = places[:, 0] >= places[:, 1]
    starts, ends = np.where(outside[:, None], -np.inf, logits).T
    for span, score in best_spans(starts, ends, longest, count):
        if text := context[places[span.first, 0] : places[span.last, 1]].strip():
            yield text, score


def find_answers(answers: Any, context: str) -> dict[str, list[Any]] | None:
    """Answers in SQuAD's format as plain lists. A wrong start moves to the nearest occurrence of the answer.

    Returns:
        None if an answer is not in the context, or `answers` is not `{text: [...], answer_start: [...]}`.
    """
    try:
        pairs = list(zip(answers["text"], map(int, answers["answer_start"]), strict=True))
        starts = [_nearest(text, context, start) for text, start in pairs]
    except (IndexError, KeyError, TypeError, ValueError):
        return None
    return {"text": [text for text, _ in pairs], "answer_start": starts}


def _nearest(text: str, context: str, start: int) -> int:
    """The place of `text` in `context` that is nearest to `start`.

    Raises:
        ValueError: `text` is empty, or is not in `context`.
    """
    if not is_text(text):
        raise ValueError("an answer without text")
    if start >= 0 and context.startswith(text, start):
        return start
    return min((match.start() for match in re.finditer(re.escape(text), context)), key=lambda place: abs(place - start))


def first_answer(answers: Mapping[str, list[Any]] | None) -> tuple[int, int] | None:
    """The first answer's first character and the one after its last. None if there is no answer."""
    if not answers or not answers["text"]:
        return None
    return answers["answer_start"][0], answers["answer_start"][0] + len(answers["text"][0])
