"""Questions with windows of their contexts, as token ids."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lnbench.core.errors import DataError
from lnbench.tasks.tokens.answer_spans import Span, tokens_of
from lnbench.tasks.tokens.encode import CHUNK, pad_id, unsuitable
from lnbench.tasks.tokens.examples import Examples

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from transformers import PreTrainedTokenizerBase

ROW, NO_ANSWER, PLACES = "row", "no_answer", "places"
"""Names of extra arrays. In this order, they are: (N,) the row of each window; (N,) the token of the window that means
"no answer"; (T, 2) for each token its first character in the context and the one after its last, both 0 outside of the
context."""


class Layout(NamedTuple):
    """Token ids before, between and after a question and a context."""

    before: list[int]
    between: list[int]
    after: list[int]
    classifies: bool
    """Whether the first token represents the whole text, like BERT's [CLS]."""


class _Window(NamedTuple):
    tokens: NDArray[np.int32]
    places: NDArray[np.int32]
    segments: NDArray[np.uint8]
    answer: tuple[int, int]
    no_answer: int
    row: int


def layout_of(tokenizer: PreTrainedTokenizerBase) -> Layout:
    """How this tokenizer joins two texts.

    If it puts nothing between them (GPT-2's), a line break is put there. If it puts no token for the whole text in
    front, an end-of-text token is put at the end. In a model that reads from left to right, that is the first token
    that has seen everything.

    Raises:
        DataError: the tokenizer has neither of the two tokens.
    """
    pair = tokenizer("a", "a").encodings[0]
    question, context = pair.sequence_ids.index(0), pair.sequence_ids.index(1)
    between = pair.ids[question + pair.sequence_ids.count(0) : context]
    after = pair.ids[context + pair.sequence_ids.count(1) :]
    classifies = tokenizer.cls_token_id is not None and pair.ids[0] == tokenizer.cls_token_id
    return Layout(
        before=pair.ids[:question],
        between=between or tokenizer("\n", add_special_tokens=False).input_ids,
        after=after if classifies else [*after, _end_of_text(tokenizer)],
        classifies=classifies,
    )


def _end_of_text(tokenizer: PreTrainedTokenizerBase) -> int:
    if isinstance(tokenizer.eos_token_id, int):
        return tokenizer.eos_token_id
    raise unsuitable(
        tokenizer,
        "has neither a first token for the whole text nor an end-of-text token, to stand for no answer; write its "
        "cls_token or eos_token into its tokenizer_config.json",
    )


def tokenise_windows(
    tokenizer: PreTrainedTokenizerBase,
    questions: Sequence[str],
    contexts: Sequence[str],
    answers: Sequence[tuple[int, int] | None],
    *,
    max_length: int,
    stride: int,
) -> Examples:
    """Tokenises questions, each with its whole context or with as many windows of it as are needed.

    Args:
        tokenizer: a fast one.
        questions: N questions; white space in them is collapsed.
        contexts: N contexts; each distinct one is tokenised once.
        answers: for each question, the answer's first character in the context and the one after its last, or None.
        max_length: most tokens of a window with its question, special tokens included.
        stride: tokens that two neighbouring windows share.

    Returns:
        One row per window, with `ROW`, `NO_ANSWER` and `PLACES` as extras. The labels, (N, 2), are the answer's first
        and last token, or twice the `NO_ANSWER` token if the answer is not in the window.

    Raises:
        DataError: a question leaves no more than `stride` tokens to its context.
    """
    layout = layout_of(tokenizer)
    special = len(layout.before) + len(layout.between) + len(layout.after)
    asked = _tokens(tokenizer, [" ".join(question.split()) for question in questions])
    known = dict(zip(distinct := list(dict.fromkeys(contexts)), _tokens(tokenizer, distinct), strict=True))
    windows: list[_Window] = []
    for row, ((question, _), context, answer) in enumerate(zip(asked, contexts, answers, strict=True)):
        room = max_length - special - len(question)
        if room <= stride:
            raise DataError(
                f"task.max_length = {max_length}: question {questions[row]!r} has {len(question)} tokens and leaves "
                f"{max(room, 0)} to its context, which must be more than task.stride = {stride}; raise task.max_length "
                f"or lower task.stride"
            )
        windows += _windows(layout, question, *known[context], answer, row, room, stride)
    return _examples(windows, tokenizer)


def _tokens(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> list[tuple[NDArray[np.int32], NDArray[np.int32]]]:
    """For each text, its T token ids, and (T, 2) for each token its first character and the one after its last."""
    pairs: list[tuple[NDArray[np.int32], NDArray[np.int32]]] = []
    for start in range(0, len(texts), CHUNK):
        some = texts[start : start + CHUNK]
        for encoding in tokenizer(some, add_special_tokens=False, return_attention_mask=False, verbose=False).encodings:
            pairs.append((np.array(encoding.ids, np.int32), np.array(encoding.offsets, np.int32).reshape(-1, 2)))
    return pairs


def _windows(
    layout: Layout,
    question: NDArray[np.int32],
    context: NDArray[np.int32],
    places: NDArray[np.int32],
    answer: tuple[int, int] | None,
    row: int,
    room: int,
    stride: int,
) -> Iterator[_Window]:
    """The windows of one context, each of at most `room` tokens. The next one begins `room - stride` tokens later."""
    opening = np.concatenate([layout.before, question, layout.between]).astype(np.int32)
    span = tokens_of(places, *answer) if answer else None
    for start in range(0, max(len(context) - stride, 1), room - stride):
        part = slice(start, start + room)
        tokens = np.concatenate([opening, context[part], layout.after]).astype(np.int32)
        no_answer = 0 if layout.classifies else len(tokens) - 1
        yield _Window(
            tokens=tokens,
            places=np.concatenate([_nowhere(len(opening)), places[part], _nowhere(len(layout.after))]),
            segments=(np.arange(len(tokens)) >= len(opening)).astype(np.uint8),
            answer=_within(span, start, room, len(opening)) or (no_answer, no_answer),
            no_answer=no_answer,
            row=row,
        )


def _nowhere(count: int) -> NDArray[np.int32]:
    return np.zeros((count, 2), np.int32)


def _within(span: Span | None, start: int, room: int, opening: int) -> tuple[int, int] | None:
    """First and last token of the answer in the window. None if the window does not contain the whole answer."""
    if span is None or span.first < start or span.last >= start + room:
        return None
    return opening + span.first - start, opening + span.last - start


def _examples(windows: Sequence[_Window], tokenizer: PreTrainedTokenizerBase) -> Examples:
    segmented = "token_type_ids" in tokenizer.model_input_names
    return Examples(
        tokens=np.concatenate([window.tokens for window in windows]),
        offsets=np.cumsum([0, *(len(window.tokens) for window in windows)]),
        labels=np.array([window.answer for window in windows], np.int64),
        pad_id=pad_id(tokenizer),
        token_types=np.concatenate([window.segments for window in windows]) if segmented else None,
        extras={
            ROW: np.array([window.row for window in windows], np.int64),
            NO_ANSWER: np.array([window.no_answer for window in windows], np.int64),
            PLACES: np.concatenate([window.places for window in windows]),
        },
    )
