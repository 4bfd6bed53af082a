"""A process that has imported what jobs need, and is forked for every job: torch is loaded once, not once a job."""

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
"""Keeps NumPy and pyarrow from starting threads when they are imported, and rich from colours for a terminal: jobs
write to files."""


def start_fork_server(preload: Sequence[str], environment: Mapping[str, str]) -> ForkServerContext:
    """Starts the fork server of this process; one that runs already stays as it is.

    Args:
        preload: modules to import there. They may start no thread and not CUDA, which do not survive a fork.
        environment: variables that it and the jobs have besides those of this process.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*ALWAYS, *preload])
    # Starting the tracker would unblock the signals that are blocked below.
    resource_tracker.ensure_running()
    # Ctrl-C goes to all processes of a terminal. The server, which inherits what is blocked, must outlive the jobs.
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        with env_override({**QUIET, **environment}):
            forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    return context
