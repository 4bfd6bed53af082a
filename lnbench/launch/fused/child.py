"""The main function of a fresh process that does several jobs, whose runs train together."""

import contextlib
import pickle
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Event

from hydra.core.utils import JobReturn

from lnbench.cli import Command
from lnbench.config.run import RunConfig
from lnbench.core.interruption import RunInterrupted, answered
from lnbench.launch.child import attempt, in_fresh_process, run_job
from lnbench.launch.fused.trials import are_settled, do_trials
from lnbench.launch.job import Job, Sweep
from lnbench.launch.records import run_of
from lnbench.records.record import Record


def main(
    sweep: bytes, jobs: Sequence[Job], max_runs: int, environment: Mapping[str, str], log: Path, results: Connection
) -> None:
    """Does jobs of a sweep.

    Args:
        sweep: a `Sweep`, pickled by cloudpickle.
        jobs: jobs to do; their runs fit together.
        max_runs: largest number of runs that train together.
        environment: environment variables to set before the jobs start.
        log: file to which all output of the jobs is appended.
        results: connection that gets each job's number and its `JobReturn`, pickled by cloudpickle, as the job ends.

    Raises:
        SystemExit: SIGTERM or Ctrl-C came; jobs that had not ended have no result.
    """
    with in_fresh_process(environment, log), stoppable() as stop:
        for job, returned in do(pickle.loads(sweep), jobs, max_runs, stop):
            results.send((job.num, returned))
        if stop.is_set():
            raise KeyboardInterrupt


def do(sweep: Sweep, jobs: Sequence[Job], max_runs: int, stop: Event) -> Iterator[tuple[Job, bytes]]:
    """Does the trials of all jobs, then their runs. Jobs with trials in other processes come last, one by one.

    Yields:
        Each job as it ends, with its `JobReturn` pickled by cloudpickle.
    """
    from lnbench.launch.fused.together import run_together

    sweep.enter()
    runs = {job: config for job in jobs if (config := run_of(sweep.compose(job)))}
    do_trials(list(runs.values()), max_runs, stop)
    ready = [job for job in runs if are_settled(runs[job])]
    for place, outcome in run_together([runs[job] for job in ready], stop):
        if not isinstance(outcome, RunInterrupted):
            yield ready[place], attempt(ready[place], partial(_tell, sweep, ready[place], outcome))
    for job in jobs:
        if job not in ready and not stop.is_set():
            yield job, attempt(job, partial(run_job, sweep, job))


@contextlib.contextmanager
def stoppable() -> Iterator[Event]:
    """Sets an event at the first SIGTERM or Ctrl-C, and ends the process at the second."""
    stop = Event()

    def answer(number: int, frame: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        print("\nStopping after this step.", file=sys.stderr)

    with answered(answer):
        yield stop


def _tell(sweep: Sweep, job: Job, outcome: Record | BaseException) -> JobReturn:
    """The `JobReturn` of a job whose run has already ended."""
    command = Command(partial(_give, outcome))
    return replace(sweep, task_function=command.run).run(sweep.compose(job))


def _give(outcome: Record | BaseException, config: RunConfig) -> float:
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome.score
