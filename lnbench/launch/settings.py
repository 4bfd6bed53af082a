"""What `hydra.launcher` may say."""

import importlib.util
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from omegaconf import OmegaConf
from pydantic import Field

from lnbench.core.schema import ConfigError, Schema, parse


class LaunchSettings(Schema):
    """Of all launchers of lnbench."""

    busy_poll_seconds: Annotated[float, Field(gt=0)]
    """How long a job that another process is doing is let alone."""
    stop_at_failure: bool
    """Whether no job is started any more once one has failed; those that run are finished."""


class LocalSettings(LaunchSettings):
    """Of the launchers that use this machine alone."""

    gpus: Annotated[int, Field(ge=0)] | Annotated[list[int | str], Field(min_length=1)] | None
    """How many, or their ids; None: all that are visible."""
    cpu_slots: Annotated[int, Field(ge=1)]
    """Processes at a time where there is no GPU."""
    preload: list[str]
    """Modules that are imported once, not once a process."""


class GpuSettings(LocalSettings):
    """Of `hydra/launcher=gpus`."""

    per_gpu: Annotated[int, Field(ge=1)]
    """Jobs that share a GPU."""


class FusedSettings(LocalSettings):
    """Of `hydra/launcher=fused`."""

    max_runs: Annotated[int, Field(ge=1)]
    """Most runs that train together."""


class RaySettings(LaunchSettings):
    """Of `hydra/launcher=ray`."""

    address: str | None
    """Of a cluster that runs; None: start one on this machine."""
    num_cpus: Annotated[float, Field(gt=0)]
    """For each job."""
    num_gpus: Annotated[float, Field(ge=0)] | None
    """For each job; None: one if the cluster has any."""
    max_retries: Annotated[int, Field(ge=0)]
    """Of a job whose process or node died."""
    max_jobs: Annotated[int, Field(ge=1)] | None
    """Given to Ray at a time; None: as many as there is room for now."""
    results: Literal["shared", "collect"]
    """Whether all nodes see the launcher's folders, or files are sent."""
    working_dir: str | None
    """Folder with the code, sent to the nodes; None: the code is there."""
    runtime_env: dict[str, Any]
    """Of Ray, besides `working_dir`."""


def require_ray() -> None:
    """Looks for Ray.

    Raises:
        ConfigError: it is not installed.
    """
    if importlib.util.find_spec("ray") is None:
        raise ConfigError("hydra/launcher = 'ray': Ray is not installed; install it with pip install 'lnbench[ray]'")


S = TypeVar("S", bound=Schema)


def check(schema: type[S], settings: Mapping[str, Any]) -> S:
    """Types and checks the keys of `hydra.launcher`.

    Raises:
        ConfigError: one line a problem.
    """
    plain = OmegaConf.to_container(OmegaConf.create(dict(settings)), resolve=True)
    assert isinstance(plain, dict)
    return parse(schema, {str(key): value for key, value in plain.items()}, "hydra.launcher")
