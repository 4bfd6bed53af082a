"""Runs that take no time, with scores drawn around true means."""

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from lnbench.config.compose import compose_config
from lnbench.core.commands import override
from lnbench.deciding.runs import Run, Runs
from lnbench.records.record import Record
from lnbench.report.claims.claims import Side
from tests.report.builders import finished


class FakeRuns(Runs):
    """Runs whose score is the mean of their method plus noise of their task, both in points."""

    def __init__(
        self,
        means: Mapping[str, float],
        noise: Mapping[str, float],
        failing: Sequence[Run] = (),
        hardware: Mapping[str, str] | None = None,
        seconds: Mapping[str, float] | None = None,
        waited: float = 0.0,
    ) -> None:
        """
        Args:
            means: mean score of each method.
            noise: standard deviation of each task.
            failing: runs that leave no record.
            hardware: processor of each method; None gives all the same one.
            seconds: time of a run on each task; None is a minute for all.
            waited: seconds for which each run waited for other programs.
        """
        self.means, self.noise, self.failing = means, noise, failing
        self.hardware, self.times, self.waited = hardware or {}, seconds or {}, waited
        self.launched: list[list[Run]] = []
        self._records: dict[Run, Record] = {}

    def arm(self, side: Side, task: str) -> tuple[str, ...]:
        return (override("method", side.method),)

    def config(self, run: Run) -> Any:
        task = compose_config(f"task={run.task}").task
        return SimpleNamespace(task=SimpleNamespace(name=run.task, metric=task.metric, mode=task.mode))

    def record(self, run: Run) -> Record | None:
        return self._records.get(run)

    def launch(self, runs: Sequence[Run]) -> None:
        self.launched.append(list(runs))
        for run in runs:
            if run not in self.failing:
                self._records[run] = self.done(run)

    def done(self, run: Run) -> Record:
        """What a run leaves; it depends on the run alone."""
        method = run.method[0].removeprefix("method=")
        draw = np.random.default_rng([run.seed, *method.encode(), *run.task.encode()]).standard_normal()
        score = 0.5 + (self.means[method] + self.noise[run.task] * draw) / 100
        seconds = self.times.get(run.task, 60.0)
        cost = {"total_seconds": seconds, "train_seconds": seconds * (0.5 + score), "train_waited_seconds": self.waited}
        processor = {"device": "cpu", "cpu": self.hardware.get(method, "one"), "threads": 1}
        return finished(method, run.task, run.seed, float(score), cost=cost, hardware=processor)
