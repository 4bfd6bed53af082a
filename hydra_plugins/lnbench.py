"""The sweeper and the launchers. Hydra looks for plugins in this package.

Every Hydra program on the machine imports this file, so the file itself imports nothing of lnbench.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

if TYPE_CHECKING:
    from lnbench.launch.job import Job, Sweep


class QuickSweeper(BasicSweeper):
    """Hydra's basic sweeper, which starts a large sweep without delay.

    Before the first job, Hydra composes every job, at a tenth of a second each. This sweeper composes so many that each
    key, and each choice of a file of a configuration group, is in one of them. The others are composed when they start.
    """

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Composes a few jobs of a batch.

        Raises:
            HydraException: one of them cannot be composed.
        """
        seen: set[str] = set()
        jobs = []
        for job in batch:
            parts = {self._part(override) for override in job}
            if not parts <= seen:
                seen |= parts
                jobs.append(job)
        super().validate_batch_is_legal(jobs)

    @cache  # noqa: B019
    def _part(self, override: str) -> str:
        """The part of an override that decides whether a job can be composed: the key, with the choice of a group."""
        assert self.hydra_context is not None
        key = override.partition("=")[0]
        group = key.lstrip("+~").partition("@")[0]
        return override if self.hydra_context.config_loader.get_group_options(group) else key


class _OwnLauncher(Launcher):
    """Base class of the launchers of lnbench."""

    def __init__(self, **settings: Any) -> None:
        """Stores the keys of `hydra.launcher`; `setup` checks them."""
        self._settings = settings

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Checks and stores the settings. Hydra calls this first.

        Raises:
            ConfigError: a setting is wrong.
        """
        self._check()
        self._context, self._task_function, self._config = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Runs a batch of jobs.

        Args:
            job_overrides: overrides of each job.
            initial_job_idx: number of the first job.

        Returns:
            The results of the jobs, in the same order.

        Raises:
            ConfigError: there are no jobs, or this machine or cluster cannot run them with these settings.
            KeyboardInterrupt: Ctrl-C or SIGTERM came.
        """
        from lnbench.launch.job import Sweep, number

        sweep = Sweep.begin(self._context, self._task_function, self._config)
        return self._run(sweep, number(job_overrides, initial_job_idx))

    @abstractmethod
    def _check(self) -> None:
        """Checks the settings."""

    @abstractmethod
    def _run(self, sweep: Sweep, jobs: Sequence[Job]) -> list[JobReturn]:
        """Runs one job or more."""


class GpuLauncher(_OwnLauncher):
    """Runs jobs on the GPUs of this machine, or on its processor if there are none, each in a fresh process."""

    def _check(self) -> None:
        from lnbench.launch.settings import GpuSettings, check

        self._checked = check(GpuSettings, self._settings)

    def _run(self, sweep: Sweep, jobs: Sequence[Job]) -> list[JobReturn]:
        from lnbench.launch.local.launch import run_locally

        return run_locally(sweep, jobs, self._checked)


class FusedLauncher(_OwnLauncher):
    """Runs jobs as `GpuLauncher` does, but trains the runs that fit together in one process."""

    def _check(self) -> None:
        from lnbench.launch.settings import FusedSettings, check

        self._checked = check(FusedSettings, self._settings)

    def _run(self, sweep: Sweep, jobs: Sequence[Job]) -> list[JobReturn]:
        from lnbench.launch.fused.launch import run_fused

        return run_fused(sweep, jobs, self._checked)


class RayLauncher(_OwnLauncher):
    """Runs jobs on a Ray cluster, each in a fresh process."""

    def _check(self) -> None:
        from lnbench.launch.settings import RaySettings, check, require_ray

        require_ray()
        self._checked = check(RaySettings, self._settings)

    def _run(self, sweep: Sweep, jobs: Sequence[Job]) -> list[JobReturn]:
        from lnbench.launch.launch import launch
        from lnbench.launch.ray.pool import RayPool

        return launch(sweep, jobs, RayPool(sweep, self._checked), self._checked)
