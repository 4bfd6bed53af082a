"""Starts processes from one that has imported what they need, because imports take most of the time of a start."""

import contextlib
import multiprocessing
from collections.abc import Iterator
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext


@contextlib.contextmanager
def fork_server(module: str) -> Iterator[ForkServerContext]:
    """Gives a context whose processes are forked from a server, which ends with the context.

    A process writes to what was stderr when the first one was started, so a test cannot capture that.

    Args:
        module: name of the module that the server imports.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([module])
    try:
        yield context
    finally:
        forkserver._forkserver._stop()  # type: ignore[attr-defined]
