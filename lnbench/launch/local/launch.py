"""Runs the jobs of a sweep on this machine."""

from collections.abc import Sequence
from functools import partial

from hydra.core.utils import JobReturn

from lnbench.launch.job import Job, Sweep
from lnbench.launch.launch import launch
from lnbench.launch.local.fork_server import start_fork_server
from lnbench.launch.local.pool import LocalPool
from lnbench.launch.settings import GpuSettings
from lnbench.launch.slots import divided_threads, make_slots


def run_locally(sweep: Sweep, jobs: Sequence[Job], settings: GpuSettings) -> list[JobReturn]:
    """Runs jobs of a sweep on this machine.

    Returns:
        The results of the jobs, in the same order.

    Raises:
        ConfigError: this machine has fewer GPUs than requested.
        KeyboardInterrupt: Ctrl-C or SIGTERM came.
    """
    slots = make_slots(settings.gpus, settings.per_gpu, settings.cpu_slots)
    pool = LocalPool(sweep, slots, partial(start_fork_server, settings.preload, divided_threads(len(slots))))
    return launch(sweep, jobs, pool, settings)
