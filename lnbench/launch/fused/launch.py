"""A launch on this machine that trains runs together where they fit."""

from collections.abc import Sequence
from functools import partial

from hydra.core.utils import JobReturn
from hydra.errors import HydraException

from lnbench.config.run import RunConfig
from lnbench.launch.fused.groups import group
from lnbench.launch.fused.pool import FusedPool
from lnbench.launch.job import Job, Sweep
from lnbench.launch.launch import launch
from lnbench.launch.local.fork_server import start_fork_server
from lnbench.launch.records import finished, run_of
from lnbench.launch.settings import FusedSettings
from lnbench.launch.slots import divided_threads, make_slots


def run_fused(sweep: Sweep, jobs: Sequence[Job], settings: FusedSettings) -> list[JobReturn]:
    """Runs jobs of a sweep, and trains runs together where they fit.

    Returns:
        The results of the jobs, in the same order.

    Raises:
        ConfigError: this machine has fewer GPUs than requested.
        KeyboardInterrupt: Ctrl-C or SIGTERM came.
    """
    slots = make_slots(settings.gpus, 1, settings.cpu_slots)
    runs = {job: _run(sweep, job) for job in jobs}
    done = [job for job, run in runs.items() if finished(run)]
    waiting = [job for job in jobs if job not in done]
    places = group([runs[job] for job in waiting], settings.max_runs, len(slots))
    groups = [[waiting[place] for place in together] for together in places]
    server = partial(start_fork_server, settings.preload, divided_threads(len(slots)))
    pool = FusedPool(sweep, slots, server, groups, settings.max_runs)
    ordered = [*done, *(job for together in groups for job in together)]
    results = dict(zip(ordered, launch(sweep, ordered, pool, settings), strict=True))
    return [results[job] for job in jobs]


def _run(sweep: Sweep, job: Job) -> RunConfig | None:
    """The configuration of the run that a job does; None if the job cannot be composed or is no run."""
    try:
        return run_of(sweep.compose(job))
    except (HydraException, ValueError, OSError):
        return None
