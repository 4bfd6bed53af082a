"""A server process that imports torch and other modules once, and is forked for every job."""

import multiprocessing
import signal
from collections.abc import Mapping, Sequence
from multiprocessing import forkserver, resource_tracker
from multiprocessing.context import ForkServerContext

from hydra.core.utils import env_override

from lnbench.core.interruption import SIGNALS

ALWAYS = ["lnbench.launch.child"]
"""Modules that every job needs."""
QUIET = {"OPENBLAS_NUM_THREADS": "1", "JE_ARROW_MALLOC_CONF": "background_thread:false", "TERM": "dumb"}
"""Environment variables that keep NumPy and pyarrow from starting threads when imported, and rich from using terminal
colours, because jobs write to files."""


def start_fork_server(preload: Sequence[str], environment: Mapping[str, str]) -> ForkServerContext:
    """Starts the fork server of this process, unless it is already running.

    Args:
        preload: modules to import in the server. They must start neither threads nor CUDA, which do not survive a fork.
        environment: environment variables of the server and the jobs, in addition to those of this process.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*ALWAYS, *preload])
    # Starting the tracker would unblock the signals that are blocked below.
    resource_tracker.ensure_running()
    # A terminal sends Ctrl-C to all its processes. The server must outlive the jobs, so it inherits blocked signals.
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        with env_override({**QUIET, **environment}):
            forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    return context
