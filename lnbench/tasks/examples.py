"""The tokenised rows of one split, and padded batches of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Examples:
    """N tokenised rows, their T tokens laid end to end.

    Attributes:
        tokens: (T,) int32, token ids.
        offsets: (N + 1,) int64; row `i` is `tokens[offsets[i]:offsets[i + 1]]`.
        labels: (N,), whatever the task's loss takes.
        pad_id: token id that fills a batch up on the right; the attention mask hides it.
        token_types: (T,) uint8, the segment of each token, for models that have segments.
    """

    tokens: NDArray[np.int32]
    offsets: NDArray[np.int64]
    labels: NDArray[np.generic]
    pad_id: int
    token_types: NDArray[np.uint8] | None = None

    def __post_init__(self) -> None:
        if len(self.offsets) != len(self.labels) + 1 or self.offsets[-1] != len(self.tokens):
            raise ValueError(
                f"{len(self.labels)} labels, {len(self.offsets)} offsets up to {self.offsets[-1:]} "
                f"and {len(self.tokens)} tokens do not fit together"
            )

    def __len__(self) -> int:
        return len(self.labels)

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
            (B, L) int64, and `labels` (B,).
        """
        lengths = self.lengths[rows]
        columns = np.arange(lengths.max())
        mask = columns < lengths[:, None]
        places = self.offsets[rows][:, None] + columns
        batch = {
            "input_ids": np.where(mask, self.tokens.take(places, mode="clip"), self.pad_id).astype(np.int64),
            "attention_mask": mask.astype(np.int64),
            "labels": self.labels[rows],
        }
        if self.token_types is not None:
            batch["token_type_ids"] = np.where(mask, self.token_types.take(places, mode="clip"), 0).astype(np.int64)
        return {name: torch.from_numpy(values) for name, values in batch.items()}

    def to_arrays(self) -> dict[str, NDArray[np.generic]]:
        """The arrays by name, for a file; `from_arrays` is the inverse."""
        arrays: dict[str, NDArray[np.generic]] = {
            "tokens": self.tokens,
            "offsets": self.offsets,
            "labels": self.labels,
        }
        return arrays if self.token_types is None else {**arrays, "token_types": self.token_types}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]], pad_id: int) -> Examples:
        """Rebuilds what `to_arrays` gave.

        Raises:
            TypeError, ValueError: arrays are missing, unknown, or do not fit together.
        """
        return cls(**arrays, pad_id=pad_id)  # type: ignore[arg-type]
