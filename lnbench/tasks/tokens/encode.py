"""Turns texts into token ids, and identifies tokenizers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from lnbench.backbone.vocabulary import start_of
from lnbench.core.errors import DataError
from lnbench.tasks.data.large import Growing
from lnbench.tasks.tokens.examples import IGNORED, Examples

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pandas.api.extensions import ExtensionArray
    from transformers import PreTrainedTokenizerBase

    Texts = Sequence[str] | ExtensionArray

CHUNK = 1000
"""Number of texts tokenised at a time. The tokenizer's own results take far more memory than the arrays made from
them."""


class _Rows:
    """Tokenised rows: their tokens one after another, and the length of each and what it lost."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, max_length: int) -> None:
        self._tokenizer, self._max_length = tokenizer, max_length
        self.tokens, self._ends, self.cut = Growing(np.int32), Growing(np.int64), Growing(np.int64)
        self._ends.add(np.zeros(1, np.int64))
        self._last = 0

    def add(self, columns: list[list[str]], rows: list[list[int]]) -> None:
        """Appends rows. Every row must have a token."""
        lengths = np.fromiter(map(len, rows), np.int64, len(rows))
        if not lengths.all():
            raise DataError(
                f"{columns[0][int(lengths.argmin())]!r} has no token that the model knows; leave its row out, or "
                f"choose a model whose tokenizer has tokens for it"
            )
        self.tokens.add(_flat(rows, np.int32))
        ends = self._last + lengths.cumsum()
        self._ends.add(ends)
        self._last = int(ends[-1]) if len(ends) else self._last
        self.cut.add(_cut_off(self._tokenizer, columns, rows, self._max_length))

    def offsets(self) -> NDArray[np.int64]:
        """(N + 1,) boundaries of the rows."""
        return self._ends.array()


def tokenise(
    tokenizer: PreTrainedTokenizerBase,
    texts: Texts,
    pairs: Texts | None = None,
    *,
    labels: NDArray[np.generic],
    max_length: int,
) -> Examples:
    """Tokenises single texts or pairs of texts.

    A pair that is too long loses tokens from its longer text first. If a tokenizer puts nothing between the texts of a
    pair (GPT-2's), a line break is put there. In `extras`, `cut` (N,) is the number of tokens that each row lost.

    Args:
        texts: N texts, in anything that can be cut into slices, such as the array of a column.
        pairs: N second texts, or None.
        labels: (N,) labels.
        max_length: most tokens of a row, special tokens included.

    Raises:
        DataError: a text has no token at all.
    """
    with_types = pairs is not None and "token_type_ids" in tokenizer.model_input_names
    broken = pairs is not None and tokenizer.num_special_tokens_to_add(pair=True) == 0
    columns = [texts] if pairs is None else [texts, pairs]
    rows, types = _Rows(tokenizer, max_length), Growing(np.uint8)
    for some in _chunks(columns):
        if broken:
            some[1] = [f"\n{text}" for text in some[1]]
        encoded = _encode(tokenizer, some, max_length, return_token_type_ids=with_types)
        rows.add(some, encoded["input_ids"])
        types.add(_flat(encoded["token_type_ids"] if with_types else [], np.uint8))
    return Examples(
        tokens=rows.tokens.array(),
        offsets=rows.offsets(),
        labels=labels,
        pad_id=pad_id(tokenizer),
        token_types=types.array() if with_types else None,
        extras={"cut": rows.cut.array()},
    )


def tokenise_words(
    tokenizer: PreTrainedTokenizerBase, sentences: list[list[str]], labels: list[list[int]], *, max_length: int
) -> Examples:
    """Tokenises sentences that come word by word, with a label for each word.

    Words are joined by spaces, as in running text. The first token of a word has its label, all others `IGNORED`.

    Args:
        tokenizer: a fast one.
        sentences: N sentences.
        labels: labels of each word of each sentence.
        max_length: most tokens of a row, special tokens included.

    Returns:
        Examples with labels by token. In `extras`, `words` (T,) is the place of a word in its sentence at the word's
        first token, and -1 elsewhere. A word that is cut off, or made of characters that the tokenizer drops, has no
        token. `cut` (N,) is the number of tokens that each row lost.

    Raises:
        DataError: a sentence has no token at all.
    """
    rows = _Rows(tokenizer, max_length)
    places: list[NDArray[np.int64]] = []
    for (some,) in _chunks([sentences]):
        texts = [" ".join(words) for words in some]
        encoded = _encode(tokenizer, [texts], max_length, return_token_type_ids=False, return_offsets_mapping=True)
        rows.add([texts], encoded["input_ids"])
        places += [_first_tokens(words, spans) for words, spans in zip(some, encoded["offset_mapping"], strict=True)]
    by_token = [np.append(own, IGNORED)[first] for own, first in zip(labels, places, strict=True)]
    return Examples(
        tokens=rows.tokens.array(),
        offsets=rows.offsets(),
        labels=np.concatenate(by_token),
        pad_id=pad_id(tokenizer),
        by_token=True,
        extras={"cut": rows.cut.array(), "words": np.concatenate(places)},
    )


def _first_tokens(words: list[str], spans: list[tuple[int, int]]) -> NDArray[np.int64]:
    """For each token, the place of the word that begins with it, or -1.

    A token belongs to the word with the token's last character. Its first character may be the space before the word.

    Args:
        words: W words, joined by single spaces.
        spans: start and end of each token in the joined text, both 0 for special tokens.
    """
    stops = np.cumsum([len(word) + 1 for word in words]) - 1
    starts = stops - [len(word) for word in words]
    begins, ends = np.array(spans, np.int64).reshape(-1, 2).T
    word = np.searchsorted(starts, ends - 1, side="right") - 1
    word[(begins == ends) | (ends > stops[word])] = -1
    firsts = np.full(len(spans), -1)
    places, tokens = np.unique(word, return_index=True)
    firsts[tokens] = places
    return firsts


def _chunks(columns: Sequence[Any]) -> Iterator[list[list[Any]]]:
    """The columns as lists, `CHUNK` rows at a time."""
    for start in range(0, max(1, len(columns[0])), CHUNK):
        yield [list(column[start : start + CHUNK]) for column in columns]


def _encode(tokenizer: PreTrainedTokenizerBase, columns: list[list[str]], max_length: int, **options: bool) -> Any:
    return tokenizer(*columns, truncation=True, max_length=max_length, return_attention_mask=False, **options)


def _flat(rows: list[list[int]], kind: type[Any]) -> NDArray[Any]:
    return np.fromiter(chain.from_iterable(rows), kind)


def _cut_off(
    tokenizer: PreTrainedTokenizerBase, columns: list[list[str]], rows: list[list[int]], max_length: int
) -> NDArray[np.int64]:
    """(N,) number of tokens that each row lost to `max_length`."""
    cut = np.zeros(len(rows), np.int64)
    if full := [place for place, row in enumerate(rows) if len(row) == max_length]:
        whole = tokenizer(*([texts[place] for place in full] for texts in columns), verbose=False)["input_ids"]
        cut[full] = [len(row) - max_length for row in whole]
    return cut


def pad_id(tokenizer: PreTrainedTokenizerBase) -> int:
    """Id of the padding token, or of the end-of-text token if there is none (GPT-2)."""
    for value in (tokenizer.pad_token_id, tokenizer.eos_token_id):
        if isinstance(value, int):
            return value
    raise unsuitable(
        tokenizer, "has neither a padding nor an end-of-text token; write a pad_token into its tokenizer_config.json"
    )


def unsuitable(tokenizer: PreTrainedTokenizerBase, why: str) -> DataError:
    """The error for a model whose tokenizer lacks something.

    Args:
        tokenizer: the tokenizer.
        why: what it lacks, and what to do in its files.
    """
    return DataError(
        f"model.source = {tokenizer.name_or_path!r}: its tokenizer, a {type(tokenizer).__name__}, {why}, or choose "
        f"another model"
    )


def tokenizer_identity(tokenizer: PreTrainedTokenizerBase) -> str:
    """SHA-256 of everything that decides the token ids of a text. The tokenizer's path or hub id does not count.

    Raises:
        DataError: the tokenizer is not a fast one (backed by the `tokenizers` library).
    """
    if not tokenizer.is_fast:
        raise unsuitable(tokenizer, "is not backed by the tokenizers library; convert it to a tokenizer.json")
    backend = json.loads(tokenizer.backend_tokenizer.to_str())
    for call_setting in ("truncation", "padding"):
        backend.pop(call_setting)
    parts = [backend, pad_id(tokenizer), tokenizer.model_input_names, tokenizer.truncation_side]
    if (start := start_of(tokenizer)) is not None:
        parts.append(start)
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
