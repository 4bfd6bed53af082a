"""The configuration of one run: what `conf/` composes, typed and checked."""

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import Field, SerializeAsAny

from lnbench.backbone.config import ModelConfig
from lnbench.backbone.source import check_revision, content_of
from lnbench.config.trainer import TrainerConfig
from lnbench.core.names import require_name
from lnbench.core.registry import KIND, Registry, allow_modules, kind_of
from lnbench.core.schema import ConfigError, Free, Place, Schema, outside_identity, parse
from lnbench.methods.base import METHODS, SEPARATOR, Method, canonical_name
from lnbench.tasks.base import TASKS, Task

MODEL_PLACE = ("source", "revision", "gguf_file")
"""Settings of a model that say where it lies."""


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
    runs_dir: Free[Place]
    cache_dir: Free[Place | None] = None
    """Where tokenised data is kept; None: the user's cache folder."""
    data_root: Free[Place | None] = None
    """Folder with one subfolder a data set, read instead of the hub."""
    plugins: Free[tuple[str, ...]] = ()
    """Modules outside lnbench whose methods and tasks the configuration may name."""
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
        """What can change the numbers, nested parts included; where model and data lie does not, once it is known what
        they hold."""
        parts = {name: _identity(part) for name, part in self.method.items()}
        return _whole_identity(super().identity(), parts, _identity(self.task), self.search)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values from which `validate` builds an equal configuration."""
        dump = self.model_dump(mode="json")
        for name, part in self.method.items():
            dump["method"][name][KIND] = kind_of(type(part))
        dump["task"][KIND] = kind_of(type(self.task))
        return dump


def validate(raw: Mapping[str, Any]) -> RunConfig:
    """Types and checks a composed configuration, before torch or any model is loaded, and completes it.

    What the settings leave to the data is read from there, and what model and data hold is found out. The modules that
    `plugins` names are imported.

    Args:
        raw: plain values, as `OmegaConf.to_container` gives them.

    Raises:
        ConfigError: with one line a problem, each naming the field, its value and what is allowed.
        DataError: the task leaves settings to its data, and the data cannot be read.
    """
    allow_modules(_plugins(raw))
    config = validate_saved(raw)
    model, task = config.model, config.task.resolved(config.data_root)
    if model.content is None:
        check_revision(model)
        model = model.model_copy(update={"content": content_of(model)})
    config = config.model_copy(update={"model": model, "task": task})
    require_name("task.name", config.task.name)
    require_name("model.name", config.model.name)
    for value in config.search.values if config.search else ():
        trial(config, value)
    return config


def validate_saved(raw: Mapping[str, Any]) -> RunConfig:
    """Types and checks a configuration that a run has saved: nothing is read, and no code but lnbench's runs.

    Args:
        raw: plain values from a file, also of version 0.1.0.

    Raises:
        ConfigError: it is damaged, of another version, or names a class that is not allowed.
    """
    settings = dict(raw)
    nodes, task = _group(settings, "method"), _group(settings, "task")
    parts = {name: METHODS.parse(nodes[name], f"method.{name}") for name in sorted(nodes)}
    _check_sum(parts)
    checked = parse(Settings, settings)
    return RunConfig(**dict(checked), method=parts, task=TASKS.parse(task, "task"))


def identity_of_saved(raw: Mapping[str, Any]) -> dict[str, Any]:
    """As `RunConfig.identity`; of a method or task whose class is not known here, all that is not of every class.

    Args:
        raw: plain values from a file, also of version 0.1.0.

    Raises:
        ConfigError: it is damaged, or of another version.
    """
    settings = dict(raw)
    nodes, task = _group(settings, "method"), _group(settings, "task")
    parts = {name: _identity_in(METHODS, nodes[name], f"method.{name}") for name in nodes}
    checked = parse(Settings, settings)
    return _whole_identity(checked.identity(), parts, _identity_in(TASKS, task, "task"), checked.search)


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


def _identity(part: Method | Task) -> dict[str, Any]:
    return {KIND: kind_of(type(part)), **part.identity()}


def _identity_in(registry: Registry[Any], raw: Any, path: str) -> dict[str, Any]:
    try:
        return _identity(registry.parse(raw, path))
    except ConfigError:
        if not isinstance(raw, Mapping):
            raise
        return {key: value for key, value in raw.items() if key not in outside_identity(registry.base)}


def _whole_identity(
    settings: dict[str, Any], method: dict[str, Any], task: dict[str, Any], search: SearchConfig | None
) -> dict[str, Any]:
    identity = {**settings, "method": method, "task": task}
    if identity["model"]["content"]:
        identity["model"] = {key: value for key, value in identity["model"].items() if key not in MODEL_PLACE}
    if task.get("content"):
        task.pop("source", None)
    if search:
        set_value(identity, search.parameter, None)  # what the search finds follows from all else
    return identity


def _plugins(raw: Mapping[str, Any]) -> tuple[str, ...]:
    plugins = raw.get("plugins") or ()
    if not isinstance(plugins, list | tuple) or not all(isinstance(name, str) for name in plugins):
        raise ConfigError(f"plugins = {plugins!r}: must be a list of modules, such as plugins=[my_methods]")
    return tuple(plugins)


def _group(settings: dict[str, Any], name: str) -> Mapping[str, Any]:
    group = settings.pop(name, None)
    if not isinstance(group, Mapping) or not group:
        raise ConfigError(f"{name} = {group!r}: must be a group of settings; choose one with {name}=NAME")
    return group


def _check_sum(parts: Mapping[str, Method]) -> None:
    for name in parts:
        require_name("method", name)
        if SEPARATOR in name:
            raise ConfigError(f"method = {name!r}: must have no {SEPARATOR!r} in the name of a part, which joins parts")
    for name, part in parts.items():
        if part.exclusive and len(parts) > 1:
            others = ", ".join(other for other in parts if other != name)
            raise ConfigError(
                f"method = {canonical_name(parts)}: {name!r} leaves nothing to add, so it cannot be summed with "
                f"{others}; run them apart: -m method={','.join(parts)}"
            )
