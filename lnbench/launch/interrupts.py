"""Counts Ctrl-C and SIGTERM instead of dying of them."""

import contextlib
import signal
import threading
from collections.abc import Iterator

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

    previous = {number: signal.signal(number, count) for number in SIGNALS}
    try:
        yield interrupts
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
