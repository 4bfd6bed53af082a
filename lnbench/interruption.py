"""How a run is told to stop, and says that it was stopped."""

from contextvars import ContextVar
from threading import Event

STOP: ContextVar[Event | None] = ContextVar("STOP", default=None)
"""Stands for a signal, once it is set, where a run goes on in a thread, which gets no signals."""


class RunInterrupted(BaseException):
    """A run was stopped from outside; like KeyboardInterrupt it is no error."""
