"""Counts Ctrl-C and SIGTERM instead of ending the process."""

import contextlib
import threading
from collections.abc import Iterator

from lnbench.core.interruption import answered


class Interrupts:
    """The number of times that someone has asked to stop."""

    count = 0


@contextlib.contextmanager
def counted() -> Iterator[Interrupts]:
    """Counts signals within the context. Outside the main thread, which alone gets signals, it does nothing."""
    interrupts = Interrupts()
    if threading.current_thread() is not threading.main_thread():
        yield interrupts
        return

    def count(*_: object) -> None:
        interrupts.count += 1

    with answered(count):
        yield interrupts
