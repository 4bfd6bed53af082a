"""Stops a run at a chosen moment."""

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest
import pytorch_lightning as pl

from lnbench.config.run import RunConfig
from lnbench.core.interruption import RunInterrupted
from lnbench.run.lifecycle import run
from lnbench.training import fit


class AtCall(pl.Callback):
    """Does something at the `count`-th call of one of Lightning's hooks."""

    def __init__(self, hook: str, count: int, action: Callable[[], None]) -> None:
        self.left, self.action = count, action
        setattr(self, hook, self._called)

    def _called(self, *_: Any, **__: Any) -> None:
        self.left -= 1
        if self.left == 0:
            self.action()


def send(number: signal.Signals = signal.SIGINT) -> None:
    """What Ctrl-C does."""
    os.kill(os.getpid(), number)


def inject(monkeypatch: pytest.MonkeyPatch, *callbacks: pl.Callback) -> None:
    """Adds callbacks, before all others, to trainers made from now on."""
    new_trainer = fit.new_trainer
    monkeypatch.setattr(
        fit, "new_trainer", lambda config, others, *rest: new_trainer(config, [*callbacks, *others], *rest)
    )


def interrupt(config: RunConfig, hook: str, count: int, number: signal.Signals = signal.SIGINT) -> None:
    """Starts or continues a run, and stops it with a signal at the `count`-th call of `hook`."""
    with pytest.MonkeyPatch.context() as patch:
        inject(patch, AtCall(hook, count, lambda: send(number)))
        with pytest.raises(RunInterrupted):
            run(config)
