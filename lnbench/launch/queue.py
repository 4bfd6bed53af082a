"""Decides which job starts when.

Jobs start in order. A job that another process is doing is tried again after the others. A finished job is
skipped. After Ctrl-C no job starts.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from hydra.core.utils import JobReturn

from lnbench.core.errors import FAILED, JobFailed
from lnbench.launch.display import Display
from lnbench.launch.interrupts import Interrupts
from lnbench.launch.job import KILLED, NOT_STARTED, Ended, Job, Kept, ToldFailure, error_of, failed
from lnbench.launch.settings import LaunchSettings
from lnbench.records.lock import RunBusy

TICK_SECONDS = 0.25
"""Seconds between two updates of the display and two checks for interrupts."""


class Pool(Protocol):
    """A place where jobs run."""

    @property
    def free(self) -> int:
        """Number of jobs that can be started now."""

    def start(self, job: Job) -> str:
        """Starts a job and returns the name of the place where it runs."""

    def wait(self, seconds: float) -> list[Ended]:
        """Waits until a job ends, at most `seconds`; returns the jobs that ended."""

    def stop(self) -> None:
        """Asks all running jobs to save their state and end."""

    def kill(self) -> None:
        """Ends all running jobs at once."""

    def close(self) -> None:
        """Ends all running jobs at once. No job can be started afterwards."""


class Queue:
    """Runs the jobs of a launch, from the first start to the last result."""

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
            jobs: jobs to run.
            pool: pool that runs the jobs.
            display: display that is told about all events.
            interrupts: counter that is checked at every tick.
            done_before: function that returns the result of a job that need not run; None if the job must run.
            on_death: function that is called for every job whose process died without a result.
            settings: settings of the launcher.
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
            The results, in the order of the jobs.

        Raises:
            KeyboardInterrupt: someone asked to stop; no job is running any more.
        """
        while len(self._results) < len(self._jobs):
            if self._interrupts.count:
                self._drain()
                raise KeyboardInterrupt
            skipped = self._fill()
            self._collect(0 if skipped else TICK_SECONDS)
        return [self._results[job.num] for job in self._jobs]

    def _fill(self) -> bool:
        """Starts jobs while there is room. Returns True at once after a job that need not run."""
        while self._pool.free and (job := self._next()):
            if returned := self._done_before(job):
                self._display.skipped(job, returned)
                self._results[job.num] = Kept.of(returned)
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
        self._results[job.num] = ToldFailure.of(result) if error_of(result) else Kept.of(result)
        if error_of(result) and self._settings.stop_at_failure and not self._interrupts.count:
            self._give_up(job)

    def _give_up(self, after: Job) -> None:
        """Starts no more jobs, because one has failed."""
        left = [*self._waiting, *(job for _, job in self._busy)]
        self._waiting.clear()
        self._busy.clear()
        reason = JobFailed(f"not started, since {after.title} failed", FAILED, NOT_STARTED)
        self._results.update({job.num: ToldFailure.of(failed(job, reason)) for job in left})
        self._display.given_up(len(left), self._running)

    def _drain(self) -> None:
        """Waits until no job is running. A second interrupt ends the running jobs at once."""
        self._pool.stop()
        self._display.stopping(self._running)
        killed = False
        while self._running:
            if self._interrupts.count > 1 and not killed:
                self._pool.kill()
                killed = True
            self._collect(TICK_SECONDS)
