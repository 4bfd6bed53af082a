"""Runs the jobs of a sweep in a pool, and shows their progress."""

import contextlib
import sys
from collections.abc import Sequence
from functools import partial

from hydra.core.utils import JobReturn
from rich.console import Console

from lnbench.launch.display import Display
from lnbench.launch.interrupts import counted
from lnbench.launch.job import Job, Sweep
from lnbench.launch.queue import Pool, Queue
from lnbench.launch.records import done_before, record_dead_job
from lnbench.launch.settings import LaunchSettings


def launch(sweep: Sweep, jobs: Sequence[Job], pool: Pool, settings: LaunchSettings) -> list[JobReturn]:
    """Runs jobs of a sweep, and shows their progress.

    Args:
        sweep: sweep of the jobs.
        jobs: jobs to run.
        pool: pool that runs the jobs; it is closed afterwards.
        settings: settings of the launcher.

    Returns:
        The results of the jobs, in the same order.

    Raises:
        KeyboardInterrupt: Ctrl-C or SIGTERM came.
    """
    display = Display(Console(file=sys.stdout, highlight=False), len(jobs), sweep.logs)
    callbacks = partial(done_before, sweep), partial(record_dead_job, sweep)
    try:
        with counted() as interrupts, display, contextlib.closing(pool):
            results = Queue(jobs, pool, display, interrupts, *callbacks, settings).run()
    except KeyboardInterrupt:
        display.close(stopped=True)
        raise
    display.close(stopped=False)
    return results
