"""From texts to token ids, and what identifies a tokenizer."""

from __future__ import annotations

import hashlib
import json
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from lnbench.tasks.examples import Examples
from lnbench.tasks.source import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from transformers import PreTrainedTokenizerBase


def tokenise(
    tokenizer: PreTrainedTokenizerBase,
    texts: list[str],
    pairs: list[str] | None = None,
    *,
    labels: NDArray[np.generic],
    max_length: int,
) -> Examples:
    """Tokenises single texts or pairs of texts.

    A pair too long loses tokens from its longer text first. A tokenizer that puts nothing between
    the texts of a pair (GPT-2's) gets a line break there.

    Args:
        texts: N texts.
        pairs: N second texts, or None.
        labels: (N,) labels.
        max_length: most tokens of a row, special tokens included.

    Raises:
        DataError: a text has no token at all.
    """
    with_types = pairs is not None and "token_type_ids" in tokenizer.model_input_names
    if pairs is not None and tokenizer.num_special_tokens_to_add(pair=True) == 0:
        pairs = [f"\n{text}" for text in pairs]
    encoded = tokenizer(
        texts,
        pairs,
        truncation=True,
        max_length=max_length,
        return_attention_mask=False,
        return_token_type_ids=with_types,
    )
    rows = encoded["input_ids"]
    lengths = np.fromiter(map(len, rows), np.int64, len(rows))
    if not lengths.all():
        raise DataError(f"{texts[int(lengths.argmin())]!r} has no token that the model knows")
    return Examples(
        tokens=np.fromiter(chain.from_iterable(rows), np.int32),
        offsets=np.concatenate([[0], lengths.cumsum()]),
        labels=labels,
        pad_id=pad_id(tokenizer),
        token_types=np.fromiter(chain.from_iterable(encoded["token_type_ids"]), np.uint8) if with_types else None,
    )


def pad_id(tokenizer: PreTrainedTokenizerBase) -> int:
    """The padding token's id, or the end-of-text token's where there is none (GPT-2)."""
    for value in (tokenizer.pad_token_id, tokenizer.eos_token_id):
        if isinstance(value, int):
            return value
    raise DataError(f"{type(tokenizer).__name__} has neither a padding nor an end-of-text token")


def tokenizer_identity(tokenizer: PreTrainedTokenizerBase) -> str:
    """SHA-256 of everything that decides which ids a text becomes, and not of where it was loaded from.

    Raises:
        DataError: the tokenizer is not a fast one (backed by the `tokenizers` library).
    """
    if not tokenizer.is_fast:
        raise DataError(f"{type(tokenizer).__name__} is not a fast tokenizer (one backed by the tokenizers library)")
    backend = json.loads(tokenizer.backend_tokenizer.to_str())
    for call_setting in ("truncation", "padding"):
        backend.pop(call_setting)
    parts = [backend, pad_id(tokenizer), tokenizer.model_input_names, tokenizer.truncation_side]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
