"""Runs jobs in fresh processes of a Ray cluster."""

import contextlib
import pickle
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cloudpickle
import ray
from hydra.core.utils import JobReturn
from ray.exceptions import RayError, RayTaskError

from lnbench.core.errors import FAILED, INTERRUPTED, JobFailed
from lnbench.core.schema import ConfigError
from lnbench.launch.job import KILLED, STOPPED, Ended, Job, Sweep, death
from lnbench.launch.logs import Logs
from lnbench.launch.ray import cluster
from lnbench.launch.ray.parcel import pack, unpack
from lnbench.launch.ray.task import RemoteJob, RemoteResult, work_apart, work_shared
from lnbench.launch.records import run_of
from lnbench.launch.settings import RaySettings
from lnbench.launch.slots import VISIBLE
from lnbench.records.identity import Address, address_of


class RayPool:
    """The jobs of a sweep that were given to Ray. The connection to the cluster is made when the first job starts."""

    def __init__(self, sweep: Sweep, settings: RaySettings) -> None:
        """
        Args:
            sweep: sweep of the jobs.
            settings: address of the cluster, and the resources of a job.
        """
        self._sweep, self._encoded_sweep, self._settings = sweep, cloudpickle.dumps(sweep), settings
        self._logs = Logs(sweep.logs)
        self._needs: dict[str, float] | None = None
        self._head: cluster.Head | None = None
        self._running: dict[ray.ObjectRef[Any], _Running] = {}
        self._stopping = False
        self._connection = contextlib.ExitStack()

    @property
    def free(self) -> int:
        """Number of jobs that can be started now; 1 before the cluster has been reached, 0 while its head is silent."""
        if self._needs is None:
            return 1
        if self._head and self._head.silence():
            return 0
        return max(0, cluster.room(self._settings, self._needs) - len(self._running))

    def start(self, job: Job) -> str:
        """Gives a job to Ray.

        Raises:
            ConfigError: the cluster cannot be reached, or no node has the resources of a job.
        """
        if self._needs is None:
            self._head = self._connection.enter_context(cluster.connected(self._settings, self._logs.named("ray")))
            self._needs = cluster.needs(self._settings)
        config = self._sweep.compose(job)
        environment = {"TERM": "dumb", **({} if self._needs["GPU"] else {VISIBLE: ""})}
        task = RemoteJob(self._encoded_sweep, job, config, environment)
        run = run_of(config) if self._settings.results == "collect" else None
        address = address_of(run) if run else None
        self._submit(_Running(task, address, self._logs.of(job), time.monotonic(), self._settings.max_retries))
        return "Ray"

    def wait(self, seconds: float) -> list[Ended]:
        """Waits until a job ends, at most `seconds`; returns the jobs that ended.

        Raises:
            ConfigError: the head of the cluster is dead.
        """
        if self._head and self._head.silence() > cluster.HEAD_PATIENCE_SECONDS:
            self._running.clear()
            raise ConfigError(
                f"hydra.launcher.address: the head of the Ray cluster, {self._head}, does not answer any more, so that "
                f"the running jobs are lost; what is finished is kept, and the same command does the rest"
            )
        if not self._running:
            time.sleep(seconds)
            return []
        ready, _ = ray.wait(list(self._running), timeout=seconds)
        return [ended for ref in ready if (ended := self._end(ref))]

    def stop(self) -> None:
        """Asks all running jobs to save their state and end. Ray raises KeyboardInterrupt in them."""
        self._cancel(force=False)

    def kill(self) -> None:
        """Ends all running jobs at once."""
        self._cancel(force=True)

    def close(self) -> None:
        """Ends all running jobs at once, and disconnects from the cluster."""
        self.kill()
        self._connection.close()

    def _submit(self, running: "_Running") -> None:
        assert self._needs is not None
        cpus, gpus, retries = self._needs["CPU"], self._needs["GPU"], self._settings.max_retries
        remote: Any = ray.remote(max_calls=1, max_retries=retries, num_cpus=cpus, num_gpus=gpus)
        if self._settings.results == "shared":
            ref = remote(work_shared).remote(running.task, Path.cwd(), running.log)
        else:
            earlier = pack(running.address.folder, running.address.runs_dir) if running.address else {}
            ref = remote(work_apart).remote(running.task, earlier)
        self._running[ref] = running

    def _end(self, ref: ray.ObjectRef[Any]) -> Ended | None:
        """The job with its result; None if the job is tried again."""
        running = self._running.pop(ref)
        result = self._result(ref, running)
        if isinstance(result, JobFailed) and result.cause == STOPPED and not self._stopping and running.retries:
            self._submit(replace(running, retries=running.retries - 1))  # its node is shutting down
            return None
        return Ended(running.task.job, result, time.monotonic() - running.started, running.log)

    def _result(self, ref: ray.ObjectRef[Any], running: "_Running") -> JobReturn | JobFailed:
        try:
            answer: RemoteResult = ray.get(ref)
        except RayError as error:
            return death(INTERRUPTED) if self._stopping else _failure(error)
        if running.address:
            unpack(answer.files, running.address.runs_dir)
        with running.log.open("ab") as log:
            log.write(answer.log)
        return answer.result if isinstance(answer.result, JobFailed) else pickle.loads(answer.result)

    def _cancel(self, force: bool) -> None:
        self._stopping = True
        for ref in self._running:
            ray.cancel(ref, force=force)


@dataclass(frozen=True)
class _Running:
    task: RemoteJob
    address: Address | None
    """Address of the run that the job does, if its files are sent to the launcher."""
    log: Path
    started: float
    retries: int
    """Number of times that the job may still be stopped from outside. Ray itself counts the deaths of its process."""


def _failure(error: RayError) -> JobFailed:
    cause = error.cause if isinstance(error, RayTaskError) else error
    message = f"{type(cause).__name__}: {str(cause).strip().partition(chr(10))[0]}"
    return JobFailed(message, FAILED, "error" if isinstance(error, RayTaskError) else KILLED)
