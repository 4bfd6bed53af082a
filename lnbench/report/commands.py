"""Commands that do missing runs as the runs at hand were done."""

import json
import re
import shlex
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from yaml import safe_load

from lnbench.backbone.config import ModelConfig
from lnbench.compose import config_dir
from lnbench.config import SearchConfig
from lnbench.records.record import Record
from lnbench.registry import KIND
from lnbench.report.setting import leaves
from lnbench.schema import ConfigError, Schema, parse
from lnbench.tasks.base import TASKS
from lnbench.training.config import TrainerConfig

PROGRAM = "python -m lnbench"
PATHS = ("path", "validation_path", "test_path")
"""Settings of a task that are outside a run's identity, and needed to do it again."""
SCHEMAS: dict[str, type[Schema]] = {"model": ModelConfig, "trainer": TrainerConfig, "search": SearchConfig}
"""Of the configuration groups that have one."""
BASES = {"trainer": "default", "search": "lr"}
"""Choices in groups whose settings have no name."""
USUAL_MODEL = "minilm"
"""Where a command starts from for a model that is not shipped."""
PLAIN = re.compile(r"[\w./+-]+")


@dataclass(frozen=True)
class MissingRuns:
    """Runs of one method that are still to be done.

    Attributes:
        method: canonical name.
        rest: all other overrides.
        several: whether these describe more than one run.
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
    """The runs of a method on some tasks, apart where tasks need settings of their own.

    Args:
        method: parts joined by `+`.
        changed: settings by dotted name, such as `ln.terms`.
        tasks: for each task a run that shows its settings; the first shows all else, too.
        seeds: of the runs.
        runs_dir: where the runs at hand lie.
    """
    together: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for record in tasks.values():
        choice, *own = _group(record, "task")
        together[tuple(own)].append(choice)
    settings = [f"method.{name}={_text(value)}" for name, value in changed.items()]
    seed, shared = f"seed={','.join(map(str, seeds))}", _shared(next(iter(tasks.values())), runs_dir)
    return [
        MissingRuns(
            method=method,
            rest=(*settings, f"task={','.join(choices)}", seed, *shared, *own),
            several=len(choices) > 1 or len(seeds) > 1,
        )
        for own, choices in together.items()
    ]


def command_lines(missing: Iterable[MissingRuns]) -> list[str]:
    """As few commands as do all of the runs, each once."""
    methods: dict[tuple[tuple[str, ...], bool], list[str]] = defaultdict(list)
    for runs in dict.fromkeys(missing):
        methods[runs.rest, runs.several].append(runs.method)
    return [
        " ".join([PROGRAM, *(["-m"] if several or len(names) > 1 else []), f"method={','.join(names)}", *quoted])
        for (rest, several), names in methods.items()
        for quoted in [list(map(shlex.quote, rest))]
    ]


def _shared(like: Record, runs_dir: Path) -> list[str]:
    """All that a command says besides method, task and seed."""
    model, *rest = _group(like, "model")
    overrides = [f"model={model}", *rest, *_group(like, "trainer")[1:], f"runs_dir={runs_dir}"]
    if like.config.get("search"):
        overrides = [one for one in overrides if not one.startswith(f"{like.config['search']['parameter']}=")]
        search, *rest = _group(like, "search")
        overrides += [f"search={search}", *rest]
    if root := like.config.get("data_root"):
        overrides.append(f"data_root={root}")
    return overrides


def _group(record: Record, group: str) -> list[str]:
    """The choice in a configuration group that is nearest to a run's settings, and what to change in it."""
    settings = record.config.get(group)
    name = _nearest(group, settings) if isinstance(settings, Mapping) else None
    if name is None:
        return [getattr(record, group, "")]
    written, usual = _read(group, name), dict(leaves(_plain(group, _read(group, name))))
    try:
        own = dict(leaves(_plain(group, record.config[group])))
    except ConfigError:
        return [name]
    changed = {key: value for key, value in own.items() if usual.get(key) != value and not key.startswith("content")}
    marks = {key: "" if OmegaConf.select(OmegaConf.create(written), key) is not None else "++" for key in changed}
    return [name, *(f"{marks[key]}{group}.{key}={_text(value)}" for key, value in changed.items())]


def _nearest(group: str, settings: Mapping[str, Any]) -> str | None:
    """A shipped choice that a command can start from."""
    name = BASES.get(group, str(settings.get("name")))
    if (config_dir() / group / f"{name}.yaml").is_file():
        return name
    if group == "model":
        return USUAL_MODEL
    files = sorted((config_dir() / group).glob("*.yaml"))
    takes_files = [file.stem for file in files if _read(group, file.stem).get("path") == "???"]
    return next((stem for stem in takes_files if _read(group, stem)[KIND] == TASKS.kind_in(settings)), None)


@cache
def _read(group: str, name: str) -> dict[str, Any]:
    content = OmegaConf.to_container(OmegaConf.load(config_dir() / group / f"{name}.yaml"))
    assert isinstance(content, dict)
    return {str(key): value for key, value in content.items()}


def _plain(group: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that matter for a run, complete."""
    parsed = parse(SCHEMAS[group], settings, group) if group in SCHEMAS else TASKS.parse(settings, group)
    paths = {name: str(path) for name in PATHS if (path := getattr(parsed, name, None))}
    return {**parsed.identity(), **paths}


def _text(value: object) -> str:
    """A value as Hydra reads it; a text that looks like a number is quoted."""
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_text, value))}]"
    plain = isinstance(value, str) and PLAIN.fullmatch(value) and isinstance(safe_load(value), str)
    return str(value) if plain else json.dumps(value)
