"""Counts Ctrl-C and SIGTERM instead of dying of them."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """How often someone has asked to stop."""

    count = 0


@contextlib.contextmanager
def counted() -> Iterator[Interrupts]:
    """Counts while the context lasts; outside the main thread, which alone gets signals, it does nothing."""
    interrupts = Interrupts()
    if threading.current_thread() is not threading.main_thread():
        yield interrupts
        return

    def count(*_: object) -> None:
        interrupts.count += 1

    with answered(count):
        yield interrupts


@contextlib.contextmanager
def answered(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Answers Ctrl-C and SIGTERM by `handler` while the context lasts; for the main thread alone."""
    previous = {number: signal.signal(number, handler) for number in SIGNALS}
    try:
        yield
    finally:
        for number, former in previous.items():
            signal.signal(number, former)
