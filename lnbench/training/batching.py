"""Batches of rows of similar length, in pieces, and in an order that depends on seed and epoch alone."""

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
"""Batches within which rows are sorted by length: more pad less, fewer mix more."""


def shuffled_batches(lengths: NDArray[np.int64], batch_size: int, seed: int, epoch: int) -> list[NDArray[np.int64]]:
    """Cuts all rows into batches of similar length, in random order.

    Rows are shuffled, sorted by length within pools of `POOL` batches, cut, and the batches shuffled.
    At which step of an epoch long rows come, and at which short ones, is the same for all seeds, so
    that runs of several seeds that train together need little padding.

    Args:
        lengths: (N,) tokens of each row.
        batch_size: rows of a batch; one batch has fewer if it does not divide N.
        seed: decides with `epoch` which rows share a batch.
        epoch: decides alone at which step longer rows come.

    Returns:
        Row numbers of each batch; every row is in exactly one.
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
    """Some rows of a training batch, which go through the model at once."""

    rows: Mapping[str, Tensor]
    """Padded to the longest of them."""
    share: float | Tensor
    """How much their mean loss, and its gradient, counts in that of the batch."""


class TrainLoader:
    """Training batches, shuffled anew each epoch; Lightning resumes it in the middle of an epoch.

    A batch makes one optimiser step, and comes in pieces. The state counts the batches given. Lightning
    asks a loader whose length it knows for one batch at a time, so after a training step these are the
    batches trained on.
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
            batch_size: rows of a batch.
            seed: of the order; the order of an epoch depends on nothing else.
            piece_size: most rows of a piece; None: a batch is one piece.
            pin_memory: copy batches to page-locked memory, from which a GPU fetches them faster.
        """
        self.examples = examples
        self.batch_size = batch_size
        self.piece_size = piece_size or batch_size
        self.seed = seed
        self.pin_memory = pin_memory
        self.more: Callable[[NDArray[np.int64]], dict[str, Tensor]] | None = None
        """What else joins a piece, from its (B,) row numbers: tensors of B entries."""
        self._epoch = 0
        self._start = 0
        self._given = 0

    def __len__(self) -> int:
        """Batches of a whole epoch."""
        return math.ceil(len(self.examples) / self.batch_size)

    @property
    def sampler(self) -> TrainLoader:
        """The object whose `set_epoch` Lightning calls before each epoch."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Chooses the order of the next iteration; in a new epoch it starts at the first batch."""
        if epoch != self._epoch:
            self.load_state_dict({"epoch": epoch, "given": 0})

    def state_dict(self) -> dict[str, int]:
        """The epoch, and how many of its batches were given."""
        return {"epoch": self._epoch, "given": self._given}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Makes the next iteration go on where `state` was taken."""
        self._epoch = state["epoch"]
        self._start = self._given = state["given"]

    def __iter__(self) -> Iterator[list[Piece]]:
        """The epoch's batches: all of them, or the rest of them once after a state was loaded."""
        start, self._start = self._start, 0
        batches = shuffled_batches(self.examples.lengths, self.batch_size, self.seed, self._epoch)
        for self._given, rows in enumerate(batches[start:], start + 1):
            starts = range(0, len(rows), self.piece_size)
            yield in_pieces([self._rows(rows[start : start + self.piece_size]) for start in starts])

    def _rows(self, rows: NDArray[np.int64]) -> dict[str, Tensor]:
        more = self.more(rows) if self.more else {}
        return _pinned({**self.examples.batch(rows), **more}, self.pin_memory)


class EvalLoader:
    """All rows once, the longest first, so that memory runs out at once or never."""

    def __init__(self, examples: Examples, batch_size: int, *, pin_memory: bool = False) -> None:
        """
        Args:
            examples: the split to evaluate.
            batch_size: rows of a batch.
            pin_memory: copy batches to page-locked memory, from which a GPU fetches them faster.
        """
        self.examples = examples
        self.pin_memory = pin_memory
        self._batches = _sorted_batches(np.arange(len(examples)), examples.lengths, batch_size)

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        """Batches with their row numbers as `rows`, (B,) int64, to put predictions back in order."""
        for rows in self._batches:
            yield _pinned({**self.examples.batch(rows), "rows": from_numpy(rows)}, self.pin_memory)


def in_pieces(parts: Sequence[Mapping[str, Tensor]]) -> list[Piece]:
    """A batch of which each part, on the CPU, is a piece; losses are means over the labels that count."""
    if len(parts) == 1:
        return [Piece(parts[0], 1.0)]
    counts = [int(count_labels(part)) for part in parts]
    return [Piece(part, count / max(1, sum(counts))) for part, count in zip(parts, counts, strict=True)]


def count_labels(rows: Mapping[str, Tensor]) -> Tensor:
    """How many labels are not `IGNORED`, a scalar; the loss of rows is the mean over these."""
    return (rows["labels"] != IGNORED).sum()


def _pinned(batch: dict[str, Tensor], pin_memory: bool) -> dict[str, Tensor]:
    return {name: tensor.pin_memory() for name, tensor in batch.items()} if pin_memory else batch
