"""How many runs may still be done."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from lnbench.deciding.contest import Pair
from lnbench.deciding.runs import Run, Runs


@dataclass
class Budget:
    """What an experiment may cost. It counts what is done from now on.

    Attributes:
        runs: largest number of runs; None sets no bound.
        hours: time by the clock. No run is started that would likely end later. None sets no bound.
    """

    runs: int | None
    hours: float | None
    _start: float = field(default_factory=lambda: time.monotonic())
    _done: int = 0
    _seconds: float = 0.0

    def spent(self, runs: int, seconds: float) -> None:
        """Counts runs that were done.

        Args:
            runs: number of runs.
            seconds: sum of their times by their records.
        """
        self._done += runs
        self._seconds += seconds

    def within(self, wanted: Sequence[Pair], runs: Runs) -> list[Run]:
        """The runs of pairs, in order, that fit into the rest of the budget. A pair is taken whole or not at all.

        Args:
            wanted: pairs.
            runs: runs of the experiment; those that are done cost nothing.
        """
        taken: dict[Run, None] = {}
        seconds, left = 0.0, self._left
        for pair in wanted:
            lacking = [run for run in pair if run not in taken and runs.record(run) is None]
            costs = [runs.seconds(run) for run in lacking]
            seconds += sum(cost or 0.0 for cost in costs)
            if (self.runs is not None and self._done + len(taken) + len(lacking) > self.runs) or seconds >= left:
                break
            taken.update(dict.fromkeys(lacking))
            if self.hours is not None and None in costs:
                break  # the first runs tell what the others take
        return list(taken)

    @property
    def _left(self) -> float:
        """Seconds of runs that fit into the remaining time, if as many runs go on at once as so far."""
        if self.hours is None:
            return float("inf")
        elapsed = time.monotonic() - self._start
        return (3600 * self.hours - elapsed) * max(1.0, self._seconds / max(elapsed, 1e-9))
