"""Commands that do missing runs with the settings of existing runs."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from lnbench.backbone.config import ModelConfig
from lnbench.config.retention import RetentionConfig
from lnbench.config.run import SearchConfig
from lnbench.config.trainer import TrainerConfig
from lnbench.core.commands import allowing, command, knowing, override, tool
from lnbench.core.config_folders import config_dir, file_of, own_config_dirs
from lnbench.core.registry import KIND, allowed_modules
from lnbench.core.schema import ConfigError, Schema, parse
from lnbench.methods.base import SEPARATOR
from lnbench.records.record import Record
from lnbench.records.setting import leaves
from lnbench.tasks.base import TASKS
from lnbench.tasks.data.content import name_of

PATHS = ("path", "validation_path", "test_path")
"""Settings of a task that are not part of a run's identity, but are needed to repeat the run."""
SCHEMAS: dict[str, type[Schema]] = {"model": ModelConfig, "trainer": TrainerConfig, "search": SearchConfig}
"""Schemas of configuration groups that have a single schema."""
BASES = {"trainer": "default", "search": "lr"}
"""Base choices of the groups without a `name` setting."""
USUAL_MODEL = "minilm"
"""Base choice for a model that is not shipped."""
MANDATORY = "???"
"""Value by which a shipped choice marks a setting that a command must give."""


@dataclass(frozen=True)
class MissingRuns:
    """Runs of one method that are still to be done.

    Attributes:
        method: canonical name of the method.
        rest: all other overrides.
        several: whether the overrides describe more than one run.
    """

    method: str
    rest: tuple[str, ...]
    several: bool


def missing_runs(
    method: str,
    changed: Mapping[str, Any],
    tasks: Mapping[str, Record],
    seeds: Sequence[int],
    runs_dir: Path,
) -> list[MissingRuns]:
    """Describes the runs of a method on some tasks, separately for tasks that need settings of their own.

    Args:
        method: parts joined by `+`.
        changed: changed settings of the method by dotted name, such as `ln.terms`.
        tasks: a run for each task, which gives the task's settings; the first run gives all other settings, too.
        seeds: seeds of the runs.
        runs_dir: folder of the runs.
    """
    together = _together(tasks.values())
    settings, like = changes_of_method(changed), next(iter(tasks.values()))
    seed, shared = override("seed", *seeds), _shared(like, runs_dir)
    return [
        MissingRuns(
            method=method,
            rest=(
                *settings,
                override("task", *choices),
                seed,
                *shared,
                *own,
                *knowing(*_outside(method, choices, like)),
            ),
            several=len(choices) > 1 or len(seeds) > 1,
        )
        for own, choices in together.items()
    ]


def deciding(method: str, tasks: Mapping[str, Record], runs_dir: Path) -> tuple[str, str] | None:
    """What decides whether a method of the user's own is better: the method to compare it with, and the command.

    None for a method of lnbench's own. The other method is the sum without the user's parts, or LN-tuning.

    Args:
        method: parts joined by `+`.
        tasks: a run for each task, which gives the settings, as in `missing_runs`.
        runs_dir: folder of the runs.
    """
    shipped = [part for part in method.split(SEPARATOR) if _is_shipped("method", part)]
    if len(shipped) == len(method.split(SEPARATOR)):
        return None
    other, like = SEPARATOR.join(shipped) or "ln", next(iter(tasks.values()))
    own, choices = max(_together(tasks.values()).items(), key=lambda one: len(one[1]))
    plugins, folder = _outside(method, choices, like)
    options = [*allowing(plugins), *(["--config-dir", str(folder)] if folder else [])]
    words = [f"{method} better than {other}", "--tasks", *choices, *_shared(like, runs_dir), *own]
    return other, tool("lnbench.decide", *words, *options)


def _together(records: Iterable[Record]) -> dict[tuple[str, ...], list[str]]:
    """The tasks of some runs, by the overrides that give each its settings."""
    together: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for record in records:
        choice, *own = _group(record, "task")
        together[tuple(own)].append(choice)
    return dict(together)


def changes_of_method(changed: Mapping[str, Any]) -> list[str]:
    """The overrides that change settings of a method.

    Args:
        changed: values by dotted name, such as `ln.terms`.
    """
    return [override(f"method.{name}", value, mark=_mark_of_method(name)) for name, value in changed.items()]


def command_lines(missing: Iterable[MissingRuns]) -> list[str]:
    """The smallest number of commands that do all of the runs, each once."""
    methods: dict[tuple[tuple[str, ...], bool], list[str]] = defaultdict(list)
    for runs in dict.fromkeys(missing):
        methods[runs.rest, runs.several].append(runs.method)
    return [
        command([override("method", *names), *rest], several=several or len(names) > 1)
        for (rest, several), names in methods.items()
    ]


def _shared(like: Record, runs_dir: Path) -> list[str]:
    """The overrides of a command other than method, task and seed."""
    model, *rest = _group(like, "model")
    overrides = [override("model", model), *rest, *_group(like, "trainer")[1:], override("runs_dir", runs_dir)]
    if like.config.get("search"):
        overrides = [
            one for one in overrides if not one.lstrip("+").startswith(f"{like.config['search']['parameter']}=")
        ]
        search, *rest = _group(like, "search")
        overrides += [override("search", search), *rest]
    if root := like.config.get("data_root"):
        overrides.append(override("data_root", root))
    overrides += _changes_of_retention(like.config.get("retention") or {})
    return overrides


def _outside(method: str, tasks: Sequence[str], like: Record) -> tuple[list[str], Path | None]:
    """The modules and the folder that a command needs to choose a method, tasks and a model that are not shipped.

    They are those that a run like it used, and that the user has given to this process.
    """
    model, kind = _group(like, "model")[0], TASKS.kind_in(like.config.get("task") or {})
    chosen = [("model", model), *(("task", task) for task in tasks)]
    shipped = [_is_shipped("method", part) for part in method.split(SEPARATOR)]
    shipped += [_is_shipped(group, name) for group, name in chosen if file_of(group, name)]
    if all(shipped) and (kind is None or TASKS.ships(kind)):
        return [], None
    plugins = dict.fromkeys((*(like.config.get("plugins") or ()), *allowed_modules()))
    folders = [like.config.get("config_dir"), *own_config_dirs()]
    return [*plugins], next((Path(folder) for folder in folders if folder), None)


def _is_shipped(group: str, name: str) -> bool:
    return (config_dir() / group / f"{name}.yaml").is_file()


def _changes_of_retention(settings: Mapping[str, Any]) -> list[str]:
    """The overrides that choose a run's general text. Its content follows from its place."""
    usual = RetentionConfig().model_dump(mode="json")
    return [
        override(f"retention.{name}", value)
        for name, value in settings.items()
        if name != "content" and value != usual.get(name)
    ]


def _group(record: Record, group: str) -> list[str]:
    """The choice in a configuration group that is nearest to a run's settings, and the overrides that change it."""
    settings = record.config.get(group)
    name = _nearest(group, settings) if isinstance(settings, Mapping) else None
    if name is None:
        return [getattr(record, group, "")]
    written = _read(group, name)
    try:
        own = dict(leaves(_plain(group, record.config[group])))
        usual = dict(leaves(_plain(group, _filled(written, own))))
    except ConfigError:
        return [name]
    return [name, *(_setting(group, key, own[key], written) for key in own if _differs(key, own, usual, written))]


def _differs(key: str, own: Mapping[str, Any], usual: Mapping[str, Any], written: Mapping[str, Any]) -> bool:
    """Whether a command has to give a setting. The name of a user's own file follows from its path."""
    if key.startswith("content") or (key == "name" and "path" in own and own[key] == name_of(Path(own["path"]))):
        return False
    return usual.get(key) != own[key] or written.get(key) == MANDATORY


def _filled(written: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a shipped choice, with a run's values where the choice leaves them open."""
    return {key: own.get(key) if value == MANDATORY else value for key, value in written.items()}


def _setting(group: str, key: str, value: Any, written: Mapping[str, Any]) -> str:
    return override(f"{group}.{key}", value, mark="" if _has(written, key) else "++")


def _has(settings: Any, key: str) -> bool:
    """Whether nested settings give a setting, named with dots, a value or leave it open."""
    first, _, rest = key.partition(".")
    value = settings.get(first) if isinstance(settings, Mapping) else None
    return _has(value, rest) if rest else value is not None


def _mark_of_method(name: str) -> str:
    part, _, setting = name.partition(".")
    return "" if setting in _read("method", part) else "++"


def _nearest(group: str, settings: Mapping[str, Any]) -> str | None:
    """A shipped choice that a command can start from. For a user's own file, it is a choice that takes files."""
    if group == "task" and settings.get("path"):
        files = sorted((config_dir() / group).glob("*.yaml"))
        takes_files = [file.stem for file in files if _read(group, file.stem).get("path") == MANDATORY]
        return next((stem for stem in takes_files if _read(group, stem)[KIND] == TASKS.kind_in(settings)), None)
    name = BASES.get(group, str(settings.get("name")))
    if file_of(group, name):
        return name
    return USUAL_MODEL if group == "model" else None


def _read(group: str, name: str) -> dict[str, Any]:
    """The settings of a choice in its file; empty for a choice without a known file."""
    file = file_of(group, name)
    return _read_file(file) if file else {}


@cache
def _read_file(file: Path) -> dict[str, Any]:
    content = OmegaConf.to_container(OmegaConf.load(file))
    assert isinstance(content, dict)
    return {str(key): value for key, value in content.items()}


def _plain(group: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """All settings that matter for a run, with defaults filled in."""
    parsed = parse(SCHEMAS[group], settings, group) if group in SCHEMAS else TASKS.parse(settings, group)
    paths = {name: str(path) for name in PATHS if (path := getattr(parsed, name, None))}
    return {**parsed.identity(), **paths}
