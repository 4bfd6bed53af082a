"""Launches jobs without a sweeper, which would raise the first failure; a program too: FOLDER DEAF [RAY_ADDRESS]."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra import initialize_config_dir
from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, RunMode, TaskFunction

from hydra_plugins.lnbench import GpuLauncher, RayLauncher
from lnbench.config.compose import register
from lnbench.core.config_folders import config_dir
from tests.launch import jobs

GPU_SETTINGS = {
    "gpus": 0,
    "per_gpu": 1,
    "cpu_slots": 1,
    "preload": [],
    "busy_poll_seconds": 0.01,
    "stop_at_failure": False,
}
RAY_SETTINGS: dict[str, Any] = {
    "address": None,
    "num_cpus": 1,
    "num_gpus": None,
    "max_retries": 0,
    "max_jobs": None,
    "results": "shared",
    "working_dir": None,
    "runtime_env": {},
    "busy_poll_seconds": 0.01,
    "stop_at_failure": False,
}
QUIET = [
    "hydra/job_logging=none",
    "hydra/hydra_logging=none",
    "hydra.output_subdir=null",
    "hydra.job.name=test",
    "hydra.mode=MULTIRUN",
]


def launch(
    task: TaskFunction, overrides: Sequence[Sequence[str]], sweep_dir: Path, **settings: Any
) -> Sequence[JobReturn]:
    """Launches one job for each list of overrides on this machine."""
    return launch_by(GpuLauncher(**GPU_SETTINGS | settings), task, overrides, sweep_dir)


def launch_on_ray(
    task: TaskFunction,
    overrides: Sequence[Sequence[str]],
    sweep_dir: Path,
    config_name: str | None = None,
    **settings: Any,
) -> Sequence[JobReturn]:
    """Launches one job for each list of overrides on a Ray cluster."""
    return launch_by(RayLauncher(**RAY_SETTINGS | settings), task, overrides, sweep_dir, config_name)


def launch_by(
    launcher: Launcher | str,
    task: TaskFunction,
    overrides: Sequence[Sequence[str]],
    sweep_dir: Path,
    config_name: str | None = None,
    *settings: str,
) -> Sequence[JobReturn]:
    """Launches one job for each list of overrides of a shipped configuration, or of an empty one.

    Args:
        launcher: or the name of one that is made as `settings`, overrides of `hydra.launcher`, say.
        task: what each job does.
        overrides: of each job.
        sweep_dir: where the sweep leaves its logs.
        config_name: None: an empty configuration.
        settings: see above.
    """
    register()
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        common = [*QUIET, f"hydra.sweep.dir={sweep_dir}", "hydra.sweep.subdir=."]
        chosen = [f"hydra/launcher={launcher}", *settings] if isinstance(launcher, str) else []
        config = hydra.config_loader.load_configuration(config_name, [*common, *chosen], RunMode.MULTIRUN)
        context = HydraContext(config_loader=hydra.config_loader, callbacks=Callbacks())
        if isinstance(launcher, str):
            launcher = Plugins.instance().instantiate_launcher(context, task, config)
        else:
            launcher.setup(hydra_context=context, task_function=task, config=config)
        return launcher.launch(overrides, initial_job_idx=0)


if __name__ == "__main__":
    folder, deaf, *address = sys.argv[1:]
    common = [f"+folder={folder}", f"+deaf={deaf}"]
    try:
        overrides = [[*common, f"+x={x}"] for x in range(3)]
        if address:
            launch_on_ray(jobs.work, overrides, Path(folder) / "sweep", address=address[0])
        else:
            launch(jobs.work, overrides, Path(folder) / "sweep", cpu_slots=2)
    except KeyboardInterrupt:
        sys.exit(130)
