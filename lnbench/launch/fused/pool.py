"""Runs jobs in fresh processes of this machine, one group of jobs at a time on each slot."""

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
            sweep, slots, start_server: as for `LocalPool`.
            groups: jobs that run together; `start` is called in their order.
            max_runs: largest number of runs that train together, the trials of searches included.
        """
        super().__init__(sweep, slots, start_server)
        self._group_of = {job: group for group in groups for job in group}
        self._gathered: list[Job] = []
        self._max_runs = max_runs

    @property
    def free(self) -> int:
        """Number of jobs that can be started now. While a group is being gathered, this is 1."""
        return 1 if self._gathered else super().free

    def start(self, job: Job) -> str:
        """Adds a job to its group, and starts the group with its last job.

        Returns:
            Name of the slot, and the number of jobs that share it.
        """
        slot, group = self._free[0].name, self._group_of[job]
        self._gathered.append(job)
        if job is group[-1]:
            self._start_gathered()
        return slot if len(group) == 1 else f"{slot}, {len(group)} together"

    def wait(self, seconds: float) -> list[Ended]:
        """Waits until a job ends, at most `seconds`; returns the jobs that ended.

        An incomplete group is started as it is, because its other jobs need not run.
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
