"""The main function of a fresh process that does one job."""

import contextlib
import faulthandler
import gc
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import cloudpickle
from hydra.core.utils import JobReturn

from lnbench.core.errors import INTERRUPTED, JobFailed
from lnbench.core.interruption import SIGNALS
from lnbench.launch.job import Job, Sweep, error_of, failed
from lnbench.records.lock import RunBusy


def main(sweep: bytes, job: Job, environment: Mapping[str, str], log: Path, results: Connection) -> None:
    """Does a job of a sweep.

    Args:
        sweep: a `Sweep`, pickled by cloudpickle.
        job: job to do.
        environment: environment variables to set before the job starts.
        log: file to which all output of the job is appended.
        results: connection to which the job's number and its `JobReturn`, pickled by cloudpickle, are sent.

    Raises:
        SystemExit: SIGTERM or Ctrl-C came.
    """
    with in_fresh_process(environment, log):
        results.send((job.num, attempt(job, partial(run_job, pickle.loads(sweep), job))))


@contextlib.contextmanager
def in_fresh_process(environment: Mapping[str, str], log: Path) -> Iterator[None]:
    """Prepares a newly forked process for jobs.

    Args:
        environment: environment variables to set.
        log: file to which all output is appended.

    Raises:
        SystemExit: SIGTERM or Ctrl-C came.
    """
    gc.freeze()  # never collect what the fork server imported: looking at it would copy its memory
    try:
        _become_independent()
        write_to(log)
        os.environ.update(environment)
        yield
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def attempt(job: Job, work: Callable[[], JobReturn]) -> bytes:
    """Does a job, and prints the traceback of an unexpected error.

    Returns:
        The job's `JobReturn`, pickled by cloudpickle.
    """
    try:
        returned = work()
    except Exception as error:
        returned = failed(job, error)
    problem = error_of(returned)
    if problem and not isinstance(problem, JobFailed | RunBusy):
        traceback.print_exception(problem)
    return _encode(returned, job)


def write_to(log: Path) -> None:
    """Appends all further output of this process, and of the processes it starts, to a file."""
    with log.open("a") as file:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
            os.dup2(file.fileno(), stream.fileno())
            stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    faulthandler.enable()  # a crash in a library leaves its place in the file


@contextlib.contextmanager
def writing_to(log: Path) -> Iterator[None]:
    """Appends all output of a block, and of the processes that it starts, to a file."""
    streams = (sys.stdout, sys.stderr)
    before = [os.dup(stream.fileno()) for stream in streams]
    try:
        write_to(log)
        yield
    finally:
        for stream, number in zip(streams, before, strict=True):
            stream.flush()
            os.dup2(number, stream.fileno())
            os.close(number)


def _become_independent() -> None:
    """Leaves the terminal, because the launcher passes Ctrl-C on, and replaces the fork server's signal handlers."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # drops a Ctrl-C that came earlier
    for number in SIGNALS:
        signal.signal(number, signal.default_int_handler)
    threading.Thread(target=_die_with_launcher, daemon=True).start()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def _die_with_launcher() -> None:
    launcher = multiprocessing.parent_process()
    assert launcher is not None
    launcher.join()
    os.kill(os.getpid(), signal.SIGKILL)


def run_job(sweep: Sweep, job: Job) -> JobReturn:
    """Composes a job and does it, in this process."""
    sweep.enter()
    return sweep.run(sweep.compose(job))


def _encode(returned: JobReturn, job: Job) -> bytes:
    """Pickles a job's result. A result that cannot be pickled is replaced by an error with its description."""
    try:
        encoded: bytes = cloudpickle.dumps(returned)
        pickle.loads(encoded)
    except Exception as error:
        value = error_of(returned) or error
        returned = failed(job, RuntimeError(f"{type(value).__name__}: {value}"))
        encoded = cloudpickle.dumps(returned)
    return encoded
