"""The signals that stop a run from outside, and the exception that says so."""

import contextlib
import signal
from collections.abc import Callable, Iterator
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
"""Signals that ask a run to stop."""


class RunInterrupted(BaseException):
    """A run was stopped from outside. Like KeyboardInterrupt, this is not an error."""


@contextlib.contextmanager
def answered(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Handles `SIGNALS` with `handler` inside the context. Works in the main thread only."""
    previous = {number: signal.signal(number, handler) for number in SIGNALS}
    try:
        yield
    finally:
        for number, former in previous.items():
            signal.signal(number, former or signal.SIG_DFL)
