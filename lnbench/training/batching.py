"""Batches of rows of similar length, split into pieces, in an order that depends only on seed and epoch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, from_numpy

from lnbench.core.seeding import derive_seed
from lnbench.tasks.tokens.examples import IGNORED, Examples

POOL = 64
"""Number of batches in a pool, within which rows are sorted by length. Larger pools need less padding and mix less."""


def shuffled_batches(lengths: NDArray[np.int64], batch_size: int, seed: int, epoch: int) -> list[NDArray[np.int64]]:
    """Cuts all rows into batches of similar length, in random order.

    Rows are shuffled, sorted by length within pools of `POOL` batches and cut into batches. Then the batches are
    shuffled. Long and short rows come at the same steps of an epoch for all seeds, so runs of several seeds that
    train together need little padding.

    Args:
        lengths: (N,) tokens of each row.
        batch_size: rows of a batch; one batch has fewer if it does not divide N.
        seed: decides, together with `epoch`, which rows share a batch.
        epoch: decides, alone, at which steps the longer rows come.

    Returns:
        Row numbers of each batch; every row is in exactly one batch.
    """
    order = np.random.default_rng([seed, epoch]).permutation(len(lengths))
    pools = [order[start : start + POOL * batch_size] for start in range(0, len(order), POOL * batch_size)]
    batches = [batch for pool in pools for batch in _sorted_batches(pool, lengths, batch_size)]
    steps = np.random.default_rng(derive_seed(epoch, "batches")).permutation(len(batches))
    return [batches[place] for place in steps]


def _sorted_batches(rows: NDArray[np.int64], lengths: NDArray[np.int64], batch_size: int) -> list[NDArray[np.int64]]:
    longest_first = rows[np.argsort(-lengths[rows], kind="stable")]
    return [longest_first[start : start + batch_size] for start in range(0, len(rows), batch_size)]


class Piece(NamedTuple):
    """Rows of a training batch that go through the model at once."""

    rows: Mapping[str, Tensor]
    """Tensors of the rows, padded to the longest row of the piece."""
    weight: float | Tensor
    """Weight of the piece's mean loss, and of its gradient, in the loss of the batch."""


class TrainLoader:
    """Training batches, shuffled anew each epoch. Lightning can resume it in the middle of an epoch.

    A batch makes one optimiser step and comes in pieces. The state counts the batches that were handed out.
    Lightning asks a loader of known length for one batch at a time. After a training step, the count is therefore
    the number of batches trained on.
    """

    def __init__(
        self,
        examples: Examples,
        batch_size: int,
        seed: int,
        *,
        piece_size: int | None = None,
        pin_memory: bool = False,
    ) -> None:
        """
        Args:
            examples: the training split.
            batch_size: number of rows in a batch.
            seed: seed of the order; an epoch's order depends on nothing but this and the epoch.
            piece_size: largest number of rows in a piece; None means that a batch is one piece.
            pin_memory: copy batches to page-locked memory, from which a GPU fetches them faster.
        """
        self.examples = examples
        self.batch_size = batch_size
        self.piece_size = piece_size or batch_size
        self.seed = seed
        self.pin_memory = pin_memory
        self.more: Callable[[NDArray[np.int64]], dict[str, Tensor]] | None = None
        """Function from (B,) row numbers to further tensors of B entries, which join the piece."""
        self._epoch = 0
        self._start = 0
        self._given = 0

    def __len__(self) -> int:
        """Number of batches in a whole epoch."""
        return math.ceil(len(self.examples) / self.batch_size)

    @property
    def sampler(self) -> TrainLoader:
        """The object whose `set_epoch` Lightning calls before each epoch."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Chooses the order of the next iteration. A new epoch starts at its first batch."""
        if epoch != self._epoch:
            self.load_state_dict({"epoch": epoch, "given": 0})

    def state_dict(self) -> dict[str, int]:
        """The epoch, and the number of its batches that were handed out."""
        return {"epoch": self._epoch, "given": self._given}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Makes the next iteration continue where `state` was saved."""
        self._epoch = state["epoch"]
        self._start = self._given = state["given"]

    def __iter__(self) -> Iterator[list[Piece]]:
        """The batches of the epoch. After a state was loaded, the first iteration has only the remaining ones."""
        start, self._start = self._start, 0
        batches = shuffled_batches(self.examples.lengths, self.batch_size, self.seed, self._epoch)
        for self._given, rows in enumerate(batches[start:], start + 1):
            starts = range(0, len(rows), self.piece_size)
            yield in_pieces([self._rows(rows[start : start + self.piece_size]) for start in starts])

    def _rows(self, rows: NDArray[np.int64]) -> dict[str, Tensor]:
        more = self.more(rows) if self.more else {}
        return _pinned({**self.examples.batch(rows), **more}, self.pin_memory)


class EvalLoader:
    """All rows once, longest first, so that memory runs out at the first batch or never."""

    def __init__(self, examples: Examples, batch_size: int, *, pin_memory: bool = False) -> None:
        """
        Args:
            examples: the split to evaluate.
            batch_size: number of rows in a batch.
            pin_memory: copy batches to page-locked memory, from which a GPU fetches them faster.
        """
        self.examples = examples
        self.pin_memory = pin_memory
        self._batches = _sorted_batches(np.arange(len(examples)), examples.lengths, batch_size)

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        """Batches with their row numbers as `rows`, (B,) int64, which allow predictions to be put back in order."""
        for rows in self._batches:
            yield _pinned({**self.examples.batch(rows), "rows": from_numpy(rows)}, self.pin_memory)


def in_pieces(parts: Sequence[Mapping[str, Tensor]]) -> list[Piece]:
    """Makes a batch of several parts, each on the CPU, into pieces weighted by their numbers of labels that count."""
    if len(parts) == 1:
        return [Piece(parts[0], 1.0)]
    counts = [int(count_labels(part)) for part in parts]
    return [Piece(part, count / max(1, sum(counts))) for part, count in zip(parts, counts, strict=True)]


def count_labels(rows: Mapping[str, Tensor]) -> Tensor:
    """Number of labels that are not `IGNORED`, a scalar. The loss of rows is the mean over these labels."""
    return (rows["labels"] != IGNORED).sum()


def _pinned(batch: dict[str, Tensor], pin_memory: bool) -> dict[str, Tensor]:
    return {name: tensor.pin_memory() for name, tensor in batch.items()} if pin_memory else batch
