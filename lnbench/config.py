"""The configuration of one run: what `conf/` composes, typed and checked."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SerializeAsAny

from lnbench.backbone.config import ModelConfig
from lnbench.methods.base import Method, canonical_name
from lnbench.schema import ConfigError, Free, Schema, parse, parse_target, target_of
from lnbench.tasks.base import Task
from lnbench.training.config import TrainerConfig


class WandbConfig(Schema):
    """Where a run is logged at Weights & Biases."""

    project: str
    entity: str | None = None
    mode: Literal["auto", "online", "offline"] = "auto"
    """`auto`: online when an API key is set, offline elsewhere."""
    predictions: Annotated[int, Field(ge=0)] = 500
    """Most rows of the test predictions that are shown as a table; 0: none."""


class LoggerConfig(Schema):
    """What is written besides the record and metrics.csv, which every run leaves."""

    wandb: WandbConfig | None = None


class SearchConfig(Schema):
    """A grid search that settles one setting before the run, on the validation split alone."""

    parameter: str
    """Dotted name of the setting, such as `trainer.lr_factor`."""
    values: Annotated[tuple[int | float | str, ...], Field(min_length=2)]
    """What is tried, one trial each; of equally good values the first is taken."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Of the trials, which the runs of all seeds share."""


class Settings(Schema):
    """The part of a run's configuration whose schema is the same for every method and task."""

    seed: Annotated[int, Field(ge=0, lt=2**32)]
    model: ModelConfig
    trainer: TrainerConfig
    search: SearchConfig | None = None
    test: bool = True
    """Whether the test split is answered; a trial of a search never touches it."""
    logger: Free[LoggerConfig]
    runs_dir: Free[Path]
    cache_dir: Free[Path | None] = None
    """Where tokenised data is kept; None: the user's cache folder."""
    data_root: Free[Path | None] = None
    """Folder with one subfolder a data set, read instead of the hub."""
    rerun: Free[bool] = False
    """Run again although a finished record of the same run exists."""
    retry_failed: Free[bool] = False
    """Try again a run that failed for a reason of its own; what came from outside is tried again anyway."""


class RunConfig(Settings):
    """Everything that determines one run."""

    method: dict[str, SerializeAsAny[Method]]
    task: SerializeAsAny[Task]

    @cached_property
    def method_name(self) -> str:
        """Canonical name of the sum: its parts in alphabetical order."""
        return canonical_name(self.method)

    def identity(self) -> dict[str, Any]:
        """What can change the numbers, nested parts included."""
        parts = {name: {"_target_": target_of(part), **part.identity()} for name, part in self.method.items()}
        task = {"_target_": target_of(self.task), **self.task.identity()}
        identity = {**super().identity(), "method": parts, "task": task}
        if self.search:
            set_value(identity, self.search.parameter, None)  # what the search finds follows from all else
        return identity

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values from which `validate` builds an equal configuration."""
        dump = self.model_dump(mode="json")
        for name, part in self.method.items():
            dump["method"][name]["_target_"] = target_of(part)
        dump["task"]["_target_"] = target_of(self.task)
        return dump


def validate(raw: Mapping[str, Any]) -> RunConfig:
    """Types and checks a composed configuration, before torch or any model is loaded, and completes its task.

    Args:
        raw: plain values, as `OmegaConf.to_container` or a saved `config.json` gives them.

    Raises:
        ConfigError: with one line a problem, each naming the field, its value and what is allowed.
        DataError: the task leaves settings to its data, and the data cannot be read.
    """
    settings = dict(raw)
    nodes = _group(settings, "method")
    parts = {name: parse_target(Method, nodes[name], f"method.{name}") for name in sorted(nodes)}
    task = parse_target(Task, _group(settings, "task"), "task")
    _check_sum(parts)
    checked = parse(Settings, settings)
    config = RunConfig(**dict(checked), method=parts, task=task.resolved(checked.data_root))
    for value in config.search.values if config.search else ():
        trial(config, value)
    return config


def trial(config: RunConfig, value: float | str) -> RunConfig:
    """The run that tries one value of a configuration's search.

    Raises:
        ConfigError: the value is not allowed.
    """
    assert config.search
    return settled(config, value, search=None, seed=config.search.seed, test=False)


def settled(config: RunConfig, value: float | str, **changes: Any) -> RunConfig:
    """The configuration with a value for what its search looks for, and with other changes."""
    assert config.search
    raw = config.to_dict()
    set_value(raw, config.search.parameter, value)
    return validate({**raw, **changes})


def set_value(config: dict[str, Any], name: str, value: Any) -> None:
    """Sets the setting with a dotted name.

    Raises:
        ConfigError: there is no such setting.
    """
    *groups, last = name.split(".")
    node: Any = config
    for group in groups:
        node = node.get(group) if isinstance(node, dict) else None
    if not isinstance(node, dict) or last not in node:
        raise ConfigError(f"search.parameter = {name!r}: is no setting of this run, such as trainer.lr_factor")
    node[last] = value


def _group(settings: dict[str, Any], name: str) -> Mapping[str, Any]:
    group = settings.pop(name, None)
    if not isinstance(group, Mapping) or not group:
        raise ConfigError(f"{name} = {group!r}: must be a group of settings; choose one with {name}=NAME")
    return group


def _check_sum(parts: Mapping[str, Method]) -> None:
    for name, part in parts.items():
        if part.exclusive and len(parts) > 1:
            others = ", ".join(other for other in parts if other != name)
            raise ConfigError(
                f"method = {canonical_name(parts)}: {name!r} leaves nothing to add, so it cannot be summed with "
                f"{others}; run them apart: -m method={','.join(parts)}"
            )
