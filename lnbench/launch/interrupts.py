"""Counts Ctrl-C and SIGTERM instead of dying of them."""

import contextlib
import threading
from collections.abc import Iterator

from lnbench.core.interruption import answered


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
