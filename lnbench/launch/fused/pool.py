"""Runs jobs in fresh processes of this machine, one group of them at a time on each slot."""

from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing.context import ForkServerContext

from lnbench.launch.fused import child
from lnbench.launch.job import Ended, Job, Sweep
from lnbench.launch.local.pool import LocalPool
from lnbench.launch.slots import Slot


class FusedPool(LocalPool):
    """A `LocalPool` that waits for all jobs of a group, and starts one process for them."""

    def __init__(
        self,
        sweep: Sweep,
        slots: Sequence[Slot],
        start_server: Callable[[], ForkServerContext],
        groups: Sequence[Sequence[Job]],
        max_runs: int,
    ) -> None:
        """
        Args:
            sweep, slots, start_server: as `LocalPool`.
            groups: the jobs that run together; `start` is called in their order.
            max_runs: most runs that train together, the trials of searches included.
        """
        super().__init__(sweep, slots, start_server)
        self._group_of = {job: group for group in groups for job in group}
        self._gathered: list[Job] = []
        self._max_runs = max_runs

    @property
    def free(self) -> int:
        """Number of jobs that can be started now; a group that is being gathered takes one after the other."""
        return 1 if self._gathered else super().free

    def start(self, job: Job) -> str:
        """Gathers a job, and starts its group with the last; returns the name of their slot, and who shares it."""
        slot, group = self._free[0].name, self._group_of[job]
        self._gathered.append(job)
        if job is group[-1]:
            self._start_gathered()
        return slot if len(group) == 1 else f"{slot}, {len(group)} together"

    def wait(self, seconds: float) -> list[Ended]:
        """Waits until a job ends, but not longer than some seconds; returns the ones that ended.

        Of a group that is not complete by now, some jobs need not run.
        """
        if self._gathered:
            self._start_gathered()
        return super().wait(seconds)

    def _start_gathered(self) -> None:
        jobs, self._gathered = self._gathered, []
        if len(jobs) == 1:
            super().start(jobs[0])
        else:
            self._begin(jobs, partial(child.main, self._sweep, jobs, self._max_runs))
