"""One job of a sweep, independent of the place where it runs."""

import pickle
import re
import signal
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cloudpickle
from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, configure_log, filter_overrides, run_job, setup_globals
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

from lnbench.config.overrides import NO_JOBS
from lnbench.core.errors import FAILED, INTERRUPTED, JobFailed
from lnbench.core.schema import ConfigError

KILLED, STOPPED, NOT_STARTED = "killed", "stopped", "not started"
"""Causes of failure of a job without a result. Its process died, it was asked to stop, or it never started."""

SEED, NAME_OF_SEED = re.compile(r"seed=(0|[1-9]\d*)", re.ASCII), re.compile(r"[+~]*seed\b.*", re.ASCII | re.DOTALL)
REMEMBERED = 256
"""Number of composed configurations that a sweep keeps, of 20 kB each."""


@dataclass(frozen=True)
class Job:
    """The properties by which a job differs from the others of its sweep."""

    num: int
    """Index in the whole sweep, from 0."""
    overrides: tuple[str, ...]
    title: str
    """The overrides in which the job differs from others, as its name for people."""


def number(job_overrides: Sequence[Sequence[str]], first: int) -> list[Job]:
    """The jobs of a launch, from Hydra's description of them. The first job gets the number `first`.

    Raises:
        ConfigError: there are no jobs.
    """
    if not job_overrides:
        raise ConfigError(NO_JOBS)
    common = set.intersection(*map(set, job_overrides)) if len(job_overrides) > 1 else set()
    jobs = []
    for num, overrides in enumerate(job_overrides, first):
        own = [override for override in filter_overrides(overrides) if override not in common]
        jobs.append(Job(num, tuple(overrides), " ".join(own) or f"job {num}"))
    return jobs


@dataclass(frozen=True)
class Sweep:
    """The data that all jobs of a sweep share. Cloudpickle sends it to other processes."""

    hydra_context: HydraContext
    task_function: TaskFunction
    config: DictConfig
    singletons: Any
    """Hydra's global state in the launcher's process."""
    _composed: dict[tuple[str, ...], bytes] = field(default_factory=dict, repr=False, compare=False)
    """Pickled configurations, by the overrides without the value of the seed."""

    @classmethod
    def begin(cls, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> "Sweep":
        """Prepares Hydra in the launcher's process."""
        setup_globals()
        configure_log(config.hydra.hydra_logging, config.hydra.verbose)
        return cls(hydra_context, task_function, config, Singleton.get_state())

    @property
    def logs(self) -> Path:
        """Folder of the jobs' log files, with their stdout and stderr."""
        return Path(self.config.hydra.sweep.dir) / "logs"

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_composed": {}}

    def compose(self, job: Job) -> DictConfig:
        """Composes the configuration of a job, including Hydra's own part.

        Hydra takes long. It composes one of the jobs that differ in the seed only, and the others are made from that.
        """
        key = self._without_seed(job.overrides)
        kept = self._composed.get(key) if key else None
        config: DictConfig = pickle.loads(kept) if kept else self._load(job.overrides)
        if kept:
            _set_seed(config, job.overrides)
        elif key:
            if len(self._composed) >= REMEMBERED:
                self._composed.pop(next(iter(self._composed)))
            self._composed[key] = pickle.dumps(config)
        with open_dict(config):
            config.hydra.job.num = job.num
            config.hydra.job.id = f"{config.hydra.job.name}_{job.num}"
        return config

    def _load(self, overrides: Sequence[str]) -> DictConfig:
        return self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))

    def _without_seed(self, overrides: Sequence[str]) -> tuple[str, ...] | None:
        """The overrides without the value of the seed. None if there is no seed, or more to it than a number."""
        named = [override for override in overrides if NAME_OF_SEED.fullmatch(override)]
        if len(named) != 1 or not SEED.fullmatch(named[0]) or not isinstance(self.config.get("seed"), int):
            return None
        return tuple("seed" if override is named[0] else override for override in overrides)

    def enter(self) -> None:
        """Gives Hydra in a job's process the state that it has in the launcher's."""
        setup_globals()
        Singleton.set_state(self.singletons)

    def run(self, config: DictConfig) -> JobReturn:
        """Does the composed job, in this process."""
        HydraConfig.instance().set_config(config)
        return run_job(
            hydra_context=self.hydra_context,
            task_function=self.task_function,
            config=config,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
        )


def _set_seed(config: DictConfig, overrides: Sequence[str]) -> None:
    """Gives a composed configuration the seed of other overrides that differ in it only."""
    seed = next(int(match[1]) for override in overrides if (match := SEED.fullmatch(override)))
    typed: Any = OmegaConf.to_container(config.hydra)  # with ${...} as it was typed
    own = typed["job"]["config"]["override_dirname"]
    old, new = (f"seed{own['kv_sep']}{number}" for number in (config.seed, seed))
    names = [new if name == old else name for name in typed["job"]["override_dirname"].split(own["item_sep"])]
    task = [f"seed={seed}" if SEED.fullmatch(one) else one for one in typed["overrides"]["task"]]
    with open_dict(config):
        config.hydra.overrides.task, config.hydra.job.override_dirname = task, own["item_sep"].join(names)
        config.seed = seed


@dataclass(frozen=True)
class Ended:
    """A job that has ended."""

    job: Job
    result: JobReturn | JobFailed
    """`JobFailed` if the job was stopped, or if its process died without a result."""
    seconds: float
    log: Path


class Kept(JobReturn):
    """A result that a sweep keeps to its end, with its configurations compressed. A composed one takes 150 kB."""

    @classmethod
    def of(cls, returned: JobReturn) -> "Kept":
        """The same result. Each access to a configuration returns a new copy of it."""
        return cls(**vars(returned))

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, zlib.compress(cloudpickle.dumps(value)) if isinstance(value, DictConfig) else value)

    def __getattribute__(self, name: str) -> Any:
        value = super().__getattribute__(name)
        return pickle.loads(zlib.decompress(value)) if name in ("cfg", "hydra_cfg") and value else value


class ToldFailure(Kept):
    """The result of a failed job after its error was shown. Hydra's own class would show the error again."""

    @classmethod
    def of(cls, returned: JobReturn) -> "ToldFailure":
        """The result of a failed job whose error was shown."""
        return cls(**vars(returned))

    @property
    def return_value(self) -> Any:
        """Raises the exception of the job."""
        raise self._return_value

    @return_value.setter
    def return_value(self, value: Any) -> None:
        self._return_value = value


def death(exit_code: int) -> JobFailed:
    """Describes the end of a process that returned nothing.

    Args:
        exit_code: exit code of the process; a negative one is the signal that killed it.
    """
    if exit_code in (INTERRUPTED, -signal.SIGTERM):
        message = "stopped by a signal; the same command goes on from its last saved state"
        return JobFailed(message, INTERRUPTED, STOPPED)
    if exit_code >= 0:
        return JobFailed(f"the process ended with exit code {exit_code} and no result", FAILED, KILLED)
    name = signal.Signals(-exit_code).name
    hint = ", as when the machine's memory runs out" if name == "SIGKILL" else ""
    return JobFailed(f"the process was killed by {name}{hint}", FAILED, KILLED)


def failed(job: Job, error: Exception) -> JobReturn:
    """The result that Hydra gets for a job that could not be finished."""
    return JobReturn(overrides=list(job.overrides), status=JobStatus.FAILED, _return_value=error)


def value_of(returned: JobReturn) -> Any:
    """The value that a job returned, or the exception that it raised. `JobReturn.return_value` would raise it."""
    return returned._return_value


def error_of(returned: JobReturn) -> Exception | None:
    """The exception that a job raised; None if it raised none."""
    return value_of(returned) if returned.status is JobStatus.FAILED else None
