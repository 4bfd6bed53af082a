"""Settings of the launchers, under `hydra.launcher`."""

import importlib.util
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from omegaconf import OmegaConf
from pydantic import Field

from lnbench.core.schema import ConfigError, Schema, parse


class LaunchSettings(Schema):
    """Settings of all launchers of lnbench."""

    busy_poll_seconds: Annotated[float, Field(gt=0)]
    """Seconds until a job that another process is doing is tried again."""
    stop_at_failure: bool
    """Whether no more jobs start after one has failed. Running jobs are finished."""


class LocalSettings(LaunchSettings):
    """Settings of the launchers that use only this machine."""

    gpus: Annotated[int, Field(ge=0)] | Annotated[list[int | str], Field(min_length=1)] | None
    """Number of GPUs, or their ids; None means all visible GPUs."""
    cpu_slots: Annotated[int, Field(ge=1)]
    """Number of processes at a time on a machine without a GPU."""
    preload: list[str]
    """Modules that are imported once, not in every process."""


class GpuSettings(LocalSettings):
    """Settings of `hydra/launcher=gpus`."""

    per_gpu: Annotated[int, Field(ge=1)]
    """Number of jobs that share a GPU."""


class FusedSettings(LocalSettings):
    """Settings of `hydra/launcher=fused`."""

    max_runs: Annotated[int, Field(ge=1)]
    """Largest number of runs that train together."""


class RaySettings(LaunchSettings):
    """Settings of `hydra/launcher=ray`."""

    address: str | None
    """Address of a running cluster; None starts one on this machine."""
    num_cpus: Annotated[float, Field(gt=0)]
    """Number of CPUs for each job."""
    num_gpus: Annotated[float, Field(ge=0)] | None
    """Number of GPUs for each job; None means one if the cluster has any, else 0."""
    max_retries: Annotated[int, Field(ge=0)]
    """Number of times that a job is tried again after its process or node died."""
    max_jobs: Annotated[int, Field(ge=1)] | None
    """Largest number of jobs given to Ray at a time; None means as many as fit now."""
    results: Literal["shared", "collect"]
    """`shared` if all nodes see the launcher's folders; `collect` if files are sent back."""
    working_dir: str | None
    """Folder with the code, which is sent to the nodes; None if the nodes have the code."""
    runtime_env: dict[str, Any]
    """Ray's runtime environment, besides `working_dir`."""


def require_ray() -> None:
    """Checks that Ray is installed.

    Raises:
        ConfigError: Ray is not installed.
    """
    if importlib.util.find_spec("ray") is None:
        raise ConfigError("hydra/launcher = 'ray': Ray is not installed; install it with pip install 'lnbench[ray]'")


S = TypeVar("S", bound=Schema)


def check(schema: type[S], settings: Mapping[str, Any]) -> S:
    """Converts and checks the keys of `hydra.launcher`.

    Raises:
        ConfigError: a setting is wrong; the message has one line for each problem.
    """
    plain = OmegaConf.to_container(OmegaConf.create(dict(settings)), resolve=True)
    assert isinstance(plain, dict)
    return parse(schema, {str(key): value for key, value in plain.items()}, "hydra.launcher")
