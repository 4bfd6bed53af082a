"""Batches of several runs that go through one model together. Dropout, for example, must distinguish the runs."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import torch

LENGTH_DIMENSIONS: dict[int, tuple[int, ...]] = {3: (1,), 4: (2, 3)}
"""Dimensions that grow with the text, by rank, for tensors (B, L, hidden size) and (B, heads, Lq, Lk)."""


@dataclass(frozen=True)
class Stack:
    """R runs that go through one model together. Their batches are padded to one length."""

    lengths: Sequence[int]
    """(R,) length in tokens to which each run's own batch is padded."""
    generators: Sequence[torch.Generator]
    """(R,) generators of the runs' random numbers on a CPU."""

    def own_shape(self, run: int, shape: Sequence[int]) -> tuple[int, ...]:
        """The shape that a tensor of the model, of the padded `shape`, would have if the run were alone."""
        shorter = max(self.lengths) - self.lengths[run]
        dimensions = LENGTH_DIMENSIONS.get(len(shape), ())
        return tuple(size - shorter if place in dimensions else size for place, size in enumerate(shape))


_CURRENT: ContextVar[Stack | None] = ContextVar("stack", default=None)


def current_stack() -> Stack | None:
    """The stack that goes through the model now. None for a single batch."""
    return _CURRENT.get()


@contextmanager
def stacked(stack: Stack) -> Iterator[None]:
    """Inside the context, models are called under `torch.func.vmap` over the runs of a stack.

    Like `torch.no_grad`, this is a context because the calls go through transformers' code, which hands on no arguments
    of ours to dropout and attention.
    """
    token = _CURRENT.set(stack)
    try:
        yield
    finally:
        _CURRENT.reset(token)
