"""Records the end of training steps, and their batches."""

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lnbench.training.device import synchronise

T = TypeVar("T")


@dataclass(frozen=True)
class Round:
    """The measurements of some training steps in a row, after a first step that does not count."""

    seconds: float
    first_step_seconds: float
    """Seconds from the start, with a model in memory, to the end of the first step."""
    lengths: NDArray[np.int64]
    """Number of tokens in each row that was trained on."""
    processed_tokens: int
    """Number of tokens, padding included."""


class Clock:
    """A clock that starts when it is made, and measures the time of the steps after the first one.

    It waits for the device after the first step and after the last, and never in between.
    """

    def __init__(self, steps: int) -> None:
        """
        Args:
            steps: number of timed steps, after the first one.
        """
        self.steps = steps
        self.masks: list[Tensor] = []
        """Attention masks, (B, L), of all batches in order, including batches that are never trained on."""
        self._done = 0
        self._ends: list[float] = []
        self._started = now()

    def step_ended(self) -> None:
        """Records the end of one optimiser step."""
        if self._done in (0, self.steps):
            self._ends.append(now())
        self._done += 1

    def round(self) -> Round:
        """The measurements, once all steps are done."""
        first, last = self._ends
        masks = self.masks[1 : self.steps + 1]
        return Round(
            seconds=last - first,
            first_step_seconds=first - self._started,
            lengths=torch.cat([mask.sum(dim=1) for mask in masks]).cpu().numpy(),
            processed_tokens=sum(mask.numel() for mask in masks),
        )


def now() -> float:
    """Time in seconds, after the device has finished its work."""
    synchronise()
    return time.perf_counter()


def with_peak_memory(work: Callable[[], T]) -> tuple[T, int | None]:
    """Does some work, and measures the peak of the GPU memory that its tensors held.

    A CPU's memory is not measured, because the memory of a process depends on everything it did before.

    Returns:
        The return value of `work`, and the peak in bytes; None if no GPU was used.
    """
    gc.collect()
    if not torch.cuda.is_available():
        return work(), None
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    result = work()
    return result, torch.cuda.max_memory_allocated() - before
