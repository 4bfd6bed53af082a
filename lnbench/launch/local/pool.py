"""Runs jobs in fresh processes of this machine, one at a time on each slot."""

import functools
import multiprocessing
import os
import pickle
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any

import cloudpickle
from hydra.core.utils import JobReturn

from lnbench.launch import child
from lnbench.launch.job import Ended, Job, Sweep, death
from lnbench.launch.logs import Logs
from lnbench.launch.slots import Slot


class LocalPool:
    """The slots of this machine, and the processes that run on them."""

    def __init__(self, sweep: Sweep, slots: Sequence[Slot], start_server: Callable[[], ForkServerContext]) -> None:
        """
        Args:
            sweep: sweep of the jobs.
            slots: places to run jobs; each runs one job at a time.
            start_server: starts the fork server; it is called when the first job must run.
        """
        self._sweep = cloudpickle.dumps(sweep)
        self._free = list(slots)
        self._context = functools.cache(start_server)
        self._running: list[_Running] = []
        self._logs = Logs(sweep.logs)

    @property
    def free(self) -> int:
        """Number of jobs that can be started now."""
        return len(self._free)

    def start(self, job: Job) -> str:
        """Starts a job and returns the name of its slot."""
        return self._begin([job], partial(child.main, self._sweep, job))

    def _begin(self, jobs: Sequence[Job], main: Callable[..., None]) -> str:
        """Starts a process for some jobs, and returns the name of its slot.

        Args:
            jobs: jobs that the process does.
            main: main function of the process; it gets the slot's environment, the log file and a connection for the
                jobs' numbers and results.
        """
        slot = self._free.pop(0)
        log = self._logs.of(jobs[0])
        receiver, sender = multiprocessing.Pipe(duplex=False)
        process = self._context().Process(target=main, args=(slot.environment, log, sender))
        process.start()
        sender.close()
        self._running.append(_Running(jobs, slot, log, process, receiver, time.monotonic()))
        return slot.name

    def wait(self, seconds: float) -> list[Ended]:
        """Waits until a job ends, at most `seconds`; returns the jobs that ended."""
        wait([source for running in self._running for source in running.sources()], seconds)
        ended = [running for running in self._running if running.has_ended()]
        for running in ended:
            self._running.remove(running)
            self._free.append(running.slot)
        return [one for running in ended for one in running.close()]

    def stop(self) -> None:
        """Asks all running jobs to save their state and end."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """Ends all running jobs at once."""
        self._signal(signal.SIGKILL)

    def close(self) -> None:
        """Ends all running jobs at once."""
        self.kill()

    def _signal(self, number: signal.Signals) -> None:
        for running in self._running:
            if running.process.is_alive():
                assert running.process.pid is not None
                os.kill(running.process.pid, number)


@dataclass
class _Running:
    jobs: Sequence[Job]
    slot: Slot
    log: Path
    process: ForkServerProcess
    receiver: Connection
    started: float
    returned: dict[int, JobReturn] = field(default_factory=dict)
    """Results by the number of the job."""

    def sources(self) -> list[Any]:
        """Objects that become readable when a result arrives or the process ends."""
        return [self.process.sentinel] if self.receiver.closed else [self.process.sentinel, self.receiver]

    def has_ended(self) -> bool:
        alive = self.process.is_alive()
        # Read only now, to miss nothing that was sent before the process ended.
        while not self.receiver.closed and self.receiver.poll():
            self._receive()
        return not alive

    def close(self) -> list[Ended]:
        code = self.process.exitcode
        assert code is not None
        self.process.close()
        self.receiver.close()
        seconds = time.monotonic() - self.started
        return [Ended(job, self.returned.get(job.num) or death(code), seconds, self.log) for job in self.jobs]

    def _receive(self) -> None:
        try:
            number, encoded = self.receiver.recv()
        except EOFError:
            self.receiver.close()
        else:
            self.returned[number] = pickle.loads(encoded)
