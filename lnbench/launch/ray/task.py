"""The functions that do one job in a process of a Ray cluster."""

import os
import pickle
import signal
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from hydra.core.utils import JobReturn
from omegaconf import DictConfig

from lnbench.core.errors import INTERRUPTED, JobFailed
from lnbench.launch.child import attempt, writing_to
from lnbench.launch.job import Job, Sweep, death
from lnbench.launch.ray.parcel import Parcel, pack, unpack


@dataclass(frozen=True)
class RemoteJob:
    """The input of a worker."""

    sweep: bytes
    """A `Sweep`, pickled by cloudpickle."""
    job: Job
    config: DictConfig
    """The job's composed configuration."""
    environment: Mapping[str, str]
    """Environment variables to set before the job starts."""


@dataclass(frozen=True)
class RemoteResult:
    """The output of a worker."""

    result: bytes | JobFailed
    """A `JobReturn`, pickled by cloudpickle; `JobFailed` if the job was stopped or ended without a result."""
    log: bytes = b""
    files: Parcel = field(default_factory=dict)


def work_shared(task: RemoteJob, folder: Path, log: Path) -> RemoteResult:
    """Does a job in the launcher's own folder.

    Args:
        task: job to do.
        folder: the launcher's working directory.
        log: file to which all output of the job is appended.

    Raises:
        OSError: this machine has no such folder.
    """
    os.chdir(folder)
    return RemoteResult(_work(task, log))


def work_apart(task: RemoteJob, files: Parcel) -> RemoteResult:
    """Does a job on a disk of this machine, and returns the files that it leaves.

    Args:
        task: job to do.
        files: files that an earlier try has left.
    """
    with tempfile.TemporaryDirectory() as folder:
        runs_dir, log = Path(folder) / "runs", Path(folder) / "log"
        runs_dir.mkdir()
        unpack(files, runs_dir)
        if "runs_dir" in task.config:
            task.config.runs_dir = str(runs_dir)
        result = _work(task, log)
        return RemoteResult(result, log.read_bytes(), pack(runs_dir, runs_dir))


def _work(task: RemoteJob, log: Path) -> bytes | JobFailed:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the signal that a node sends when it shuts down
    os.environ.update(task.environment)
    try:
        with writing_to(log):  # what Ray says when it ends the process is not the job's
            return attempt(task.job, partial(_run, pickle.loads(task.sweep), task.config))
    except KeyboardInterrupt:
        return death(INTERRUPTED)
    except SystemExit as end:
        return death(end.code if isinstance(end.code, int) else int(bool(end.code)))


def _run(sweep: Sweep, config: DictConfig) -> JobReturn:
    sweep.enter()
    return sweep.run(config)
