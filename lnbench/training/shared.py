"""What the runs of one search share: they read the same data, and their models often start alike."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar

from lnbench.config.run import RunConfig

if TYPE_CHECKING:  # a finished search needs no torch
    from torch import Tensor

    from lnbench.tasks.data.load import TaskData

Value = TypeVar("Value")


class Last(Generic[Value]):
    """Keeps the last value that was made, for the next caller that needs the same."""

    def __init__(self) -> None:
        """Starts without a value."""
        self._key = ""
        self._values: list[Value] = []

    def of(self, key: str, make: Callable[[], Value]) -> Value:
        """The kept value if it was made for this key, else a new one, which is kept in its place.

        Args:
            key: all that determines the value; empty: unknown, nothing is kept.
            make: makes the value.
        """
        if not (key and self._values and key == self._key):
            if self._values:
                self._values.clear()  # none is left if the new one fails
                gc.collect()  # two are never in memory at once; the trainer of the last run, a cycle, holds the first
            self._key, self._values = key, [make()]
        return self._values[0]


class Shared:
    """What the runs of a search share, one after the other.

    Attributes:
        data: the data of the last run.
        states: mean and deviation of the states that its head read before training, each (D,).
    """

    def __init__(self) -> None:
        """Starts without anything."""
        self.data: Last[TaskData] = Last()
        self.states: Last[tuple[Tensor, Tensor]] = Last()


def data_key(config: RunConfig) -> str:
    """What determines the data of a run; empty if the content of its data or model is not known."""
    if not (config.task.content and config.model.content):
        return ""
    identity = config.identity()
    places = [str(config.data_root), str(config.cache_dir)]
    seed = config.seed if config.task.splits.resample else None
    return json.dumps([identity["task"], identity["model"], seed, places], sort_keys=True, default=str)


def states_key(config: RunConfig) -> str:
    """What determines the states that a run's head reads before training; empty if it is not known."""
    if not (data := data_key(config)):
        return ""
    identity = config.identity()
    settings = [identity["method"], identity["trainer"]["precision"], config.seed]
    return json.dumps([data, settings], sort_keys=True, default=str)
