"""The tokenised rows of one split, and padded batches of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lnbench.backbone.vocabulary import start_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

EXTRA = "extra."
"""Prefix of the names of extra arrays in a file."""

IGNORED = -100
"""Label of a token that counts neither in the loss nor in the score."""


@dataclass(frozen=True, eq=False)
class Examples:
    """N tokenised rows, with their T tokens concatenated.

    Attributes:
        tokens: (T,) int32, token ids.
        offsets: (N + 1,) int64; row `i` is `tokens[offsets[i]:offsets[i + 1]]`.
        labels: labels for the task's loss: (N, ...), by row, or (T,) int64, by token.
        pad_id: id of the token that pads a batch on the right; the attention mask hides it.
        token_types: (T,) uint8, the segment of each token, for models that have segments.
        by_token: whether `labels` has one entry per token, not per row; padding is labelled `IGNORED`.
        extras: arrays that predictions need and batches do not, such as the place of each token in its text.
        tokenizer: the tokenizer, if predictions turn tokens into text, or a model reads source and target apart. It
            is not saved.
    """

    tokens: NDArray[np.int32]
    offsets: NDArray[np.int64]
    labels: NDArray[np.generic]
    pad_id: int
    token_types: NDArray[np.uint8] | None = None
    by_token: bool = False
    extras: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    tokenizer: PreTrainedTokenizerBase | None = None

    def __post_init__(self) -> None:
        if len(self.labels) != (len(self.tokens) if self.by_token else len(self)) or self.offsets[-1] != len(
            self.tokens
        ):
            raise ValueError(
                f"{len(self.labels)} labels, {len(self.offsets)} offsets up to {self.offsets[-1:]} "
                f"and {len(self.tokens)} tokens do not fit together"
            )

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """(N,) tokens of each row."""
        return np.diff(self.offsets)

    def batch(self, rows: NDArray[np.int64]) -> dict[str, Tensor]:
        """Stacks rows, padded on the right to the longest of them.

        Args:
            rows: (B,) row numbers, at least one.

        Returns:
            `input_ids`, `attention_mask` and, where the model has segments, `token_type_ids`, all
            (B, L) int64, and `labels` (B, ...) or, by token, (B, L). Of an encoder-decoder, see `_apart`.
        """
        if (start := start_of(self.tokenizer)) is not None:
            return self._apart(rows, start)
        lengths = self.lengths[rows]
        columns = np.arange(lengths.max())
        mask = columns < lengths[:, None]
        places = self.offsets[rows][:, None] + columns
        batch = {
            "input_ids": _laid_out(self.tokens, places, mask, self.pad_id),
            "attention_mask": mask.astype(np.int64),
            "labels": _laid_out(self.labels, places, mask, IGNORED) if self.by_token else self.labels[rows],
        }
        if self.token_types is not None:
            batch["token_type_ids"] = _laid_out(self.token_types, places, mask, 0)
        return {name: torch.from_numpy(values) for name, values in batch.items()}

    def _apart(self, rows: NDArray[np.int64], start: int) -> dict[str, Tensor]:
        """Source and target of rows, each padded on the right to the longest. The target is what has labels.

        Returns:
            `input_ids` and `attention_mask` of the source, (B, S); `decoder_input_ids`, the token `start` and the
            target, and `labels`, `IGNORED` and the target, (B, 1 + T). As in a decoder, a token is its own label. No
            mask hides padding in the target: nothing before it sees it.
        """
        written = self._targets[rows]
        read, first = self.lengths[rows] - written, self.offsets[rows][:, None]
        columns = np.arange(read.max())
        mask = columns < read[:, None]
        after = np.arange(-1, written.max())
        target, places = (after >= 0) & (after < written[:, None]), first + read[:, None] + after
        ids = _laid_out(self.tokens, places, target, self.pad_id)
        ids[:, 0] = start
        batch = {
            "input_ids": _laid_out(self.tokens, first + columns, mask, self.pad_id),
            "attention_mask": mask.astype(np.int64),
            "decoder_input_ids": ids,
            "labels": _laid_out(self.labels, places, target, IGNORED),
        }
        return {name: torch.from_numpy(values) for name, values in batch.items()}

    @cached_property
    def _targets(self) -> NDArray[np.int64]:
        """(N,) tokens of each row that have a label."""
        counts = np.concatenate([[0], (self.labels != IGNORED).cumsum()])
        return np.diff(counts[self.offsets])

    def text(self, ids: NDArray[np.int64]) -> str:
        """The text of generated token ids up to the first end token, without surrounding white space."""
        assert self.tokenizer is not None
        ends = np.flatnonzero(ids == self.tokenizer.eos_token_id)
        kept = ids[: ends[0]] if len(ends) else ids
        return str(self.tokenizer.decode(kept, skip_special_tokens=True, clean_up_tokenization_spaces=False)).strip()

    def to_arrays(self) -> dict[str, NDArray[np.generic]]:
        """The arrays by name, for a file; `from_arrays` is the inverse."""
        arrays: dict[str, NDArray[np.generic]] = {
            "tokens": self.tokens,
            "offsets": self.offsets,
            "token_labels" if self.by_token else "labels": self.labels,
            **{EXTRA + name: values for name, values in self.extras.items()},
        }
        return arrays if self.token_types is None else {**arrays, "token_types": self.token_types}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]], pad_id: int) -> Examples:
        """Builds examples from the arrays of `to_arrays`.

        Raises:
            KeyError, TypeError, ValueError: arrays are missing, unknown, or do not fit together.
        """
        extras = {name.removeprefix(EXTRA): values for name, values in arrays.items() if name.startswith(EXTRA)}
        fields = {name: values for name, values in arrays.items() if not name.startswith(EXTRA)}
        by_token = "token_labels" in fields
        labels = fields.pop("token_labels" if by_token else "labels")
        return cls(**fields, labels=labels, pad_id=pad_id, by_token=by_token, extras=extras)  # type: ignore[arg-type]


def _laid_out(
    values: NDArray[np.generic], places: NDArray[np.int64], mask: NDArray[np.bool_], fill: int
) -> NDArray[np.int64]:
    """(B, L) values at `places`, and `fill` where `mask` is false."""
    return np.where(mask, values.take(places, mode="clip"), fill).astype(np.int64)
