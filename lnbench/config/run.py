"""The configuration of one run, typed and checked."""

import functools
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SerializeAsAny

from lnbench.backbone.config import ModelConfig
from lnbench.backbone.source import check_revision, content_of_model
from lnbench.config.retention import RetentionConfig
from lnbench.config.trainer import TrainerConfig
from lnbench.core.config_folders import use_config_dir
from lnbench.core.digests import content_digest, joint_digest
from lnbench.core.names import require_name
from lnbench.core.registry import KIND, Registry, allow_modules, kind_of
from lnbench.core.schema import ConfigError, Free, Later, Place, Schema, outside_identity, parse
from lnbench.methods.base import METHODS, SEPARATOR, Method, canonical_name
from lnbench.tasks.base import TASKS, Task

NOT_OWN = {"lnbench", "pydantic", *sys.stdlib_module_names}
"""Packages whose classes are the same for all users."""
MODEL_PLACE = ("source", "revision", "gguf_file")
"""Settings that say where a model is stored."""


class WandbConfig(Schema):
    """Where a run is logged at Weights & Biases."""

    project: str
    entity: str | None = None
    mode: Literal["auto", "online", "offline"] = "auto"
    """`auto` is online if an API key is set, else offline."""
    predictions: Annotated[int, Field(ge=0)] = 500
    """Most rows of the test predictions to show as a table. 0 shows none."""


class TensorboardConfig(Schema):
    """What is logged to TensorBoard, whose files are in the folder `tensorboard` of the run."""

    predictions: Annotated[int, Field(ge=0)] = 50
    """Most rows of the test predictions to show as a table. 0 shows none."""


class MlflowConfig(Schema):
    """Where a run is logged at MLflow."""

    experiment: Annotated[str, Field(min_length=1)] = "lnbench"
    tracking_uri: str | None = None
    """Address of the server or database. None is `$MLFLOW_TRACKING_URI`, or else `RUNS_DIR/mlflow.db`."""
    artifacts: bool = True
    """Whether MLflow also keeps the record, the adapter and the test predictions."""


class LoggerConfig(Schema):
    """Logs in addition to the record and metrics.csv, which every run writes."""

    wandb: WandbConfig | None = None
    tensorboard: TensorboardConfig | None = None
    mlflow: MlflowConfig | None = None


class SearchConfig(Schema):
    """A grid search that chooses the value of one setting before the run, on the validation split only."""

    parameter: str
    """Dotted name of the setting, such as `trainer.lr_factor`."""
    values: Annotated[tuple[int | float | str, ...], Field(min_length=2)]
    """Values to try, one trial each. Of equally good values, the first is taken."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """First seed of the trials. Runs of all seeds share the trials."""
    seeds: Later[Annotated[int, Field(ge=1, le=1000)]] = 1
    """Number of seeds with which each value is tried: `seed`, `seed` + 1 and so on. The mean of their scores counts."""


class Settings(Schema):
    """The part of a run's configuration with the same schema for every method and task."""

    seed: Annotated[int, Field(ge=0, lt=2**32)]
    model: ModelConfig
    trainer: TrainerConfig
    search: SearchConfig | None = None
    test: bool = True
    """Whether the model is tested on the test split. A trial of a search never uses that split."""
    retention: Annotated[Later[RetentionConfig], Field(exclude_if=lambda text: not text.is_on)] = RetentionConfig()
    """A general text, on which the language model's loss is measured before and after tuning. Without one, nothing is
    measured, and the saved configuration has no such entry."""
    logger: Free[LoggerConfig]
    runs_dir: Free[Place]
    cache_dir: Free[Place | None] = None
    """Folder for tokenised data. None is `$LNBENCH_CACHE` or the user's cache folder."""
    data_root: Free[Place | None] = None
    """Folder with one subfolder per data set, which is read instead of the hub."""
    plugins: Free[tuple[str, ...]] = ()
    """Modules outside lnbench whose methods and tasks the configuration may name."""
    config_dir: Annotated[Free[Place | None], Field(exclude_if=lambda folder: folder is None)] = None
    """Folder laid out like `conf/`, with further methods, tasks and models to choose from. Without one, the saved
    configuration has no such entry."""
    code: dict[str, str] = Field(default_factory=dict, exclude_if=lambda code: not code)
    """SHA-256 of the file with the class of each part (`method.NAME`) and of the task (`task`), for classes that are
    not lnbench's own. The files with their base classes count, too. It is found out and not typed; without such
    classes, the saved configuration has no such entry."""
    rerun: Free[bool] = False
    """Run again even if a finished record of the same run exists."""
    retry_failed: Free[bool] = False
    """Try again a run that diverged, ran out of memory or broke. A run that was killed is always tried again."""


class RunConfig(Settings):
    """Everything that determines one run."""

    method: dict[str, SerializeAsAny[Method]]
    task: SerializeAsAny[Task]

    @functools.cached_property
    def method_name(self) -> str:
        """Canonical name of the sum, with its parts in alphabetical order."""
        return canonical_name(self.method)

    def identity(self) -> dict[str, Any]:
        """All settings that can change the numbers, also those of nested parts.

        The places of model and data are left out once their content is known.
        """
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
    """Types, checks and completes a composed configuration, before torch or any model is loaded.

    Missing settings are read from the data, and the content of model and data is identified. The
    modules in `plugins` are imported, and this process knows the choices of `config_dir`.

    Args:
        raw: plain values, as `OmegaConf.to_container` gives them.

    Raises:
        ConfigError: with one line per problem, which names the field, its value and what is allowed.
        DataError: the task leaves settings to its data, and the data cannot be read.
    """
    allow_modules(_plugins(raw))
    config = validate_saved(raw)
    if config.config_dir:
        use_config_dir(config.config_dir)
    model, task = config.model, config.task.resolved(config.data_root)
    if model.content is None:
        check_revision(model)
        model = model.model_copy(update={"content": content_of_model(model)})
    retention = config.retention.resolved(config.data_root)
    update = {"model": model, "task": task, "retention": retention, "code": code_of(config)}
    config = config.model_copy(update=update)
    _warn_of_changes(config)
    require_name("task.name", config.task.name)
    require_name("model.name", config.model.name)
    if config.search:
        _check_values(config, config.search)
    return config


def validate_saved(raw: Mapping[str, Any]) -> RunConfig:
    """Types and checks a configuration that a run has saved. It reads no data, and runs no code but lnbench's.

    Args:
        raw: plain values from a file, also of version 0.1.0.

    Raises:
        ConfigError: the configuration is damaged, is of another version, or names a class that is not allowed.
    """
    settings = dict(raw)
    nodes, task = _group(settings, "method"), _group(settings, "task")
    parts = {name: METHODS.parse(nodes[name], f"method.{name}") for name in sorted(nodes)}
    _check_sum(parts)
    checked = parse(Settings, settings)
    _check_quantized(checked, parts)
    _check_devices(parts, checked.trainer.devices)
    config = RunConfig(**dict(checked), method=parts, task=TASKS.parse(task, "task"))
    _check_retention(config)
    return config


def identity_of_saved(raw: Mapping[str, Any]) -> dict[str, Any]:
    """`RunConfig.identity` of a configuration that a run has saved, also if it names an unknown class.

    For a method or task of an unknown class, the identity has all settings except those that the base class leaves out.

    Args:
        raw: plain values from a file, also of version 0.1.0.

    Raises:
        ConfigError: the configuration is damaged, or is of another version.
    """
    settings = dict(raw)
    nodes, task = _group(settings, "method"), _group(settings, "task")
    parts = {name: _identity_in(METHODS, nodes[name], f"method.{name}") for name in nodes}
    checked = parse(Settings, settings)
    return _whole_identity(checked.identity(), parts, _identity_in(TASKS, task, "task"), checked.search)


def code_of(config: RunConfig) -> dict[str, str]:
    """`Settings.code` of a configuration, for the classes as this process has imported them.

    A class that was typed into a notebook, or comes from an archive, has no file.
    """
    return {name: code for name, cls in _classes(config).items() if (code := code_of_class(cls))}


def changed_code(config: RunConfig) -> dict[str, str]:
    """The entries of `code_of` that differ from what a saved configuration recorded."""
    return {name: code for name, code in code_of(config).items() if config.code.get(name, code) != code}


@functools.cache
def code_of_class(cls: type) -> str | None:
    """SHA-256 of the file with a class, and of the files with its base classes outside lnbench.

    It is remembered, because Python keeps running the code that it has imported, also after the file has changed.
    """
    return _code_in_files(cls)


def _code_in_files(cls: type) -> str | None:
    """`code_of_class` of the files as they are now. None for a class of lnbench's own, and for one without a file."""
    modules = [one.__module__ for one in cls.__mro__ if one.__module__.partition(".")[0] not in NOT_OWN]
    if not modules or modules[0] != cls.__module__:
        return None
    files = {name: Path(getattr(sys.modules[name], "__file__", None) or "") for name in modules}
    digests = {name: content_digest(file) for name, file in files.items() if file.is_file()}
    return joint_digest(digests) if len(digests) > 1 else next(iter(digests.values()), None)


def trial(config: RunConfig, value: float | str, place: int = 0) -> RunConfig:
    """The run that tries one value of a configuration's search with one of its seeds. It measures no retention.

    Args:
        config: configuration with a search.
        value: value of the searched setting.
        place: which of the seeds of the search: 0 is the first.

    Raises:
        ConfigError: the value is not allowed.
    """
    assert config.search
    return settled(config, value, search=None, seed=config.search.seed + place, test=False, retention={})


def trials(config: RunConfig) -> list[tuple[float | str, RunConfig]]:
    """Each value of a configuration's search, once for each seed of the search, with its run. None without a search."""
    if config.search is None:
        return []
    return [
        (value, trial(config, value, place)) for value in config.search.values for place in range(config.search.seeds)
    ]


def settled(config: RunConfig, value: float | str, **changes: Any) -> RunConfig:
    """The configuration with a value for the searched setting, and with other changes."""
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


def _classes(config: RunConfig) -> dict[str, type]:
    return {**{f"method.{name}": type(part) for name, part in config.method.items()}, "task": type(config.task)}


def _warn_of_changes(config: RunConfig) -> None:
    for name, cls in _classes(config).items():
        if code_of_class(cls) != _code_in_files(cls):
            warnings.warn(
                f"{name}: the file with its class has changed since Python imported it. This run is one of the "
                f"imported code; for the changed code, start Python again, or reload the module {cls.__module__}",
                stacklevel=3,
            )


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
        set_value(identity, search.parameter, None)  # all other settings determine the value that the search finds
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


def _check_quantized(settings: Settings, parts: Mapping[str, Method]) -> None:
    quantization = settings.model.quantization
    if quantization is None:
        return
    if needing := [name for name, part in parts.items() if part.needs_weights]:
        raise ConfigError(
            f"model.quantization = {quantization!r}: {' and '.join(needing)} as configured needs the weights as they "
            f"are; choose a method that leaves them alone, such as ln, bitfit, prefix, prompt, an adapter or lora"
        )
    if settings.trainer.devices != 1:
        raise ConfigError(
            f"model.quantization = {quantization!r}: quantised weights are not sharded; set trainer.devices=1"
        )


def _check_sum(parts: Mapping[str, Method]) -> None:
    for name in parts:
        require_name("method", name)
        if SEPARATOR in name:
            raise ConfigError(f"method = {name!r}: must have no {SEPARATOR!r} in the name of a part, which joins parts")
    for name, part in parts.items():
        part.check_sum(parts)
        if part.exclusive and len(parts) > 1:
            others = ", ".join(other for other in parts if other != name)
            raise ConfigError(
                f"method = {canonical_name(parts)}: {name!r} leaves nothing to add, so it cannot be summed with "
                f"{others}; run them apart: -m method={','.join(parts)}"
            )


def _check_devices(parts: Mapping[str, Method], devices: int | str) -> None:
    whole = [name for name, part in parts.items() if part.one_device]
    if whole and devices != 1:
        raise ConfigError(
            f"trainer.devices = {devices!r}: must be 1 with method={'+'.join(whole)}, which needs the whole model"
        )


def _check_values(config: RunConfig, search: SearchConfig) -> None:
    """Refuses a value of a search that is not allowed, or that does not make a run of its own."""
    tried: list[tuple[float | str, dict[str, Any]]] = []
    for value in search.values:
        identity = trial(config, value).identity()
        if same := [other for other, its in tried if its == identity]:
            raise ConfigError(
                f"search.parameter = {search.parameter!r}: its values {same[0]!r} and {value!r} try the same run; give "
                f"each value once, of a setting that can change the numbers of a run and is not its seed"
            )
        tried.append((value, identity))


def _check_retention(config: RunConfig) -> None:
    """Refuses to measure what the language model retains where a run has none, or spreads it over several devices."""
    if not config.retention.is_on:
        return
    asked = config.retention.setting
    if config.task.backbone != "causal_lm":
        raise ConfigError(
            f"{asked}: the loss on a text is that of a language model, and task {config.task.name!r} "
            f"({kind_of(type(config.task))}) loads the model without its language-model head; choose a task that "
            f"generates, such as task=e2e_nlg, or leave {asked} out"
        )
    if config.trainer.devices != 1:
        raise ConfigError(
            f"trainer.devices = {config.trainer.devices!r}: must be 1 with {asked}, because the loss on the text is "
            f"measured on the whole model"
        )
