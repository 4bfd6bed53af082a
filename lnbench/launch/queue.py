"""Which job runs when: in order, a busy one again after the others, a finished one not at all, none after Ctrl-C."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from hydra.core.utils import JobReturn

from lnbench.core.errors import FAILED, JobFailed
from lnbench.launch.display import Display
from lnbench.launch.interrupts import Interrupts
from lnbench.launch.job import KILLED, NOT_STARTED, Ended, Job, ToldFailure, error_of, failed
from lnbench.launch.settings import LaunchSettings
from lnbench.records.lock import RunBusy

TICK_SECONDS = 0.25
"""How often the display moves on and interrupts are looked for."""


class Pool(Protocol):
    """Where jobs run."""

    @property
    def free(self) -> int:
        """Number of jobs that can be started now."""

    def start(self, job: Job) -> str:
        """Starts a job and returns the name of the place where it runs."""

    def wait(self, seconds: float) -> list[Ended]:
        """Waits until a job ends, but not longer than some seconds; returns the ones that ended."""

    def stop(self) -> None:
        """Asks all running jobs to save their state and end."""

    def kill(self) -> None:
        """Ends all running jobs at once."""

    def close(self) -> None:
        """Ends all running jobs at once; none can be started afterwards."""


class Queue:
    """The jobs of a launch, from the first start to the last result."""

    def __init__(
        self,
        jobs: Sequence[Job],
        pool: Pool,
        display: Display,
        interrupts: Interrupts,
        done_before: Callable[[Job], JobReturn | None],
        on_death: Callable[[Job, JobFailed], None],
        settings: LaunchSettings,
    ) -> None:
        """
        Args:
            jobs: what to run.
            pool: where.
            display: is told of what happens.
            interrupts: are looked at all the time.
            done_before: finds what a job would return, if it need not run; None if it must.
            on_death: is told of every job that died without a word.
            settings: how long busy jobs are let alone, and whether the first failure is the last.
        """
        self._jobs, self._waiting = jobs, deque(jobs)
        self._pool, self._display, self._interrupts = pool, display, interrupts
        self._done_before, self._on_death = done_before, on_death
        self._settings = settings
        self._busy: deque[tuple[float, Job]] = deque()
        self._running = 0
        self._results: dict[int, JobReturn] = {}

    def run(self) -> list[JobReturn]:
        """Runs all jobs.

        Returns:
            Their results, in the order of the jobs, whatever the order in which they ended.

        Raises:
            KeyboardInterrupt: someone asked to stop; nothing runs any more.
        """
        while len(self._results) < len(self._jobs):
            if self._interrupts.count:
                self._drain()
                raise KeyboardInterrupt
            skipped = self._fill()
            self._collect(0 if skipped else TICK_SECONDS)
        return [self._results[job.num] for job in self._jobs]

    def _fill(self) -> bool:
        """Starts jobs where there is room; stops at one that need not run, and then returns True."""
        while self._pool.free and (job := self._next()):
            if returned := self._done_before(job):
                self._display.skipped(job, returned)
                self._results[job.num] = returned
                return True
            self._running += 1
            self._display.started(job, self._pool.start(job))
        return False

    def _next(self) -> Job | None:
        if self._waiting:
            return self._waiting.popleft()
        if self._busy and self._busy[0][0] <= time.monotonic():
            return self._busy.popleft()[1]
        return None

    def _collect(self, seconds: float) -> None:
        for ended in self._pool.wait(seconds):
            self._running -= 1
            self._end(ended)
        self._display.refresh()

    def _end(self, ended: Ended) -> None:
        job, result = ended.job, ended.result
        if isinstance(result, JobFailed):
            if result.cause == KILLED and not self._interrupts.count:
                self._on_death(job, result)
            result = failed(job, result)
        elif isinstance(busy := error_of(result), RunBusy):
            self._busy.append((time.monotonic() + self._settings.busy_poll_seconds, job))
            self._display.deferred(job, busy)
            return
        self._display.ended(ended, result)
        self._results[job.num] = ToldFailure(**vars(result)) if error_of(result) else result
        if error_of(result) and self._settings.stop_at_failure and not self._interrupts.count:
            self._give_up(job)

    def _give_up(self, after: Job) -> None:
        """Starts no more jobs, since one has failed."""
        left = [*self._waiting, *(job for _, job in self._busy)]
        self._waiting.clear()
        self._busy.clear()
        reason = JobFailed(f"not started, since {after.title} failed", FAILED, NOT_STARTED)
        self._results.update({job.num: ToldFailure(**vars(failed(job, reason))) for job in left})
        self._display.given_up(len(left), self._running)

    def _drain(self) -> None:
        """Waits until nothing runs any more; a second interrupt ends what runs at once."""
        self._pool.stop()
        self._display.stopping(self._running)
        killed = False
        while self._running:
            if self._interrupts.count > 1 and not killed:
                self._pool.kill()
                killed = True
            self._collect(TICK_SECONDS)
