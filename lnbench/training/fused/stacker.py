"""Decides which steps of several runs are computed in one pass."""

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence

from lnbench.core.errors import is_out_of_memory
from lnbench.training.fused.step import Learned, Step, learn
from lnbench.training.halved_evaluation import free_memory

log = logging.getLogger(__name__)


class Stacker:
    """Computes the steps of runs, as many at once as memory allows."""

    def __init__(self) -> None:
        self._largest: int | None = None
        """Largest number of steps at once; None if memory has never run out."""

    def answer(self, steps: Mapping[int, Step]) -> dict[int, Learned | Exception]:
        """Computes steps, together if they have equally many rows. The answer to a failed step is its exception."""
        by_rows: dict[int, list[int]] = defaultdict(list)
        for place, step in steps.items():
            by_rows[len(step.batch["input_ids"])].append(place)
        answers: dict[int, Learned | Exception] = {}
        for places in by_rows.values():
            while left := [place for place in places if place not in answers]:
                some = left[: self._largest]
                answers |= zip(some, self._learn([steps[place] for place in some]), strict=False)
        return answers

    def _learn(self, steps: list[Step]) -> Sequence[Learned | Exception]:
        """The answers to some steps. Empty if memory ran out and fewer steps at once may fit."""
        try:
            return learn(steps)
        except Exception as error:
            if not is_out_of_memory(error) or len(steps) == 1:
                return [error] * len(steps)
        free_memory()
        self._largest = len(steps) // 2
        log.warning("out of memory with %d runs at once: at most %d from now on", len(steps), self._largest)
        return []
