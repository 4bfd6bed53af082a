"""Turns sources and targets into token ids of prompts with their continuations."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from lnbench.backbone.vocabulary import start_of
from lnbench.core.schema import ConfigError
from lnbench.tasks.tokens.encode import CHUNK, pad_id, unsuitable
from lnbench.tasks.tokens.examples import IGNORED, Examples

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from transformers import PreTrainedTokenizerBase

CUT_SOURCE, CUT_TARGET = "cut", "cut_target"
"""Names of extra arrays, (N,), with the number of tokens that a source and a target lost."""


def tokenise_prompts(
    tokenizer: PreTrainedTokenizerBase,
    template: tuple[str, str],
    sources: list[str],
    targets: list[str] | None,
    *,
    max_source_length: int,
    max_target_length: int,
) -> Examples:
    """Tokenises prompts, each followed by a space, its target and the end token. A prompt is a source in the template.

    For an encoder-decoder, prompts and targets are texts of their own: each has the special tokens that its tokenizer
    puts around a text, and no space comes before the target.

    A source that is too long loses its end, so that the template stays whole. A target that is too long loses its end
    and its end token, so that the model does not learn to stop there.

    Args:
        tokenizer: tokenizer of a language model.
        template: the texts before and after a source.
        sources: N texts.
        targets: N texts; None for prompts without targets.
        max_source_length: most tokens of a prompt, template included.
        max_target_length: most tokens of a target, end token included.

    Returns:
        Examples labelled by token. A token of the target is its own label. All others have `IGNORED`.

    Raises:
        ConfigError: the template leaves no room for a source.
        DataError: the tokenizer has no end token.
    """
    if not isinstance(tokenizer.eos_token_id, int):
        raise unsuitable(
            tokenizer,
            "has no end-of-text token, which a text to generate must end with; write its eos_token into its "
            "tokenizer_config.json",
        )
    before, after = template
    apart = start_of(tokenizer) is not None
    start, cue = tokenizer(before)["input_ids"], _ids(tokenizer, [after])[0]
    opening: list[int] = []
    if apart:
        opening, closing = around(tokenizer)
        start, cue = [*opening, *_ids(tokenizer, [before])[0]], [*cue, *closing]
    room = max_source_length - len(start) - len(cue)
    if room < 1:
        raise ConfigError(
            f"task.max_source_length = {max_source_length}: must be more than the {len(start) + len(cue)} tokens of "
            f"task.template"
        )
    bodies = _ids(tokenizer, sources)
    prompts = [[*start, *body[:room], *cue] for body in bodies]
    space = "" if apart or after[-1:].isspace() else " "
    wanted = [] if targets is None else _ids(tokenizer, [f"{space}{target}" for target in targets])
    answers = [[*opening, *ids, tokenizer.eos_token_id] for ids in wanted] or [[] for _ in sources]
    kept = [answer[:max_target_length] for answer in answers]
    lengths = np.array([len(prompt) + len(answer) for prompt, answer in zip(prompts, kept, strict=True)])
    return Examples(
        tokens=_flat(chain(*pair) for pair in zip(prompts, kept, strict=True)).astype(np.int32),
        offsets=np.concatenate([[0], lengths.cumsum()]),
        labels=_flat([*[IGNORED] * len(prompt), *answer] for prompt, answer in zip(prompts, kept, strict=True)),
        pad_id=pad_id(tokenizer),
        by_token=True,
        extras={
            CUT_SOURCE: np.array([max(0, len(body) - room) for body in bodies]),
            CUT_TARGET: np.array([len(answer) - len(some) for answer, some in zip(answers, kept, strict=True)]),
        },
        tokenizer=tokenizer,
    )


def around(tokenizer: PreTrainedTokenizerBase) -> tuple[list[int], list[int]]:
    """The special tokens that a tokenizer puts before and after a text."""
    bare, whole = (tokenizer("a", add_special_tokens=special)["input_ids"] for special in (False, True))
    first = next(place for place in range(len(whole)) if whole[place : place + len(bare)] == bare)
    return whole[:first], whole[first + len(bare) :]


def _ids(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> list[list[int]]:
    """Token ids without special tokens, however long the texts are."""
    ids: list[list[int]] = []
    for start in range(0, len(texts), CHUNK):
        some = texts[start : start + CHUNK]
        ids += tokenizer(some, add_special_tokens=False, return_attention_mask=False, verbose=False)["input_ids"]
    return ids


def _flat(rows: Iterable[Iterable[int]]) -> NDArray[np.int64]:
    return np.fromiter(chain.from_iterable(rows), np.int64)
