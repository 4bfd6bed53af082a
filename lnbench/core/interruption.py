"""How a run is told to stop, and says that it was stopped."""

import contextlib
import signal
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from threading import Event
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
"""By which someone asks to stop."""
STOP: ContextVar[Event | None] = ContextVar("STOP", default=None)
"""Stands for a signal, once it is set, where a run goes on in a thread, which gets no signals."""


class RunInterrupted(BaseException):
    """A run was stopped from outside; like KeyboardInterrupt it is no error."""


@contextlib.contextmanager
def answered(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Answers `SIGNALS` by `handler` while the context lasts; for the main thread alone."""
    previous = {number: signal.signal(number, handler) for number in SIGNALS}
    try:
        yield
    finally:
        for number, former in previous.items():
            signal.signal(number, former or signal.SIG_DFL)
