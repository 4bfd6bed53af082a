"""Removes everything from a record that names a person, a machine or a folder."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lnbench.core.schema import ConfigError
from lnbench.records.record import Record

FILES = ("path", "validation_path", "test_path")
"""Settings of a task that name files of the user's own."""
PLACE = re.compile(r"(?<![\w:./~])(?:~|[A-Za-z]:)?[/\\](?:[^\s/\\'\":;,]+[/\\])*([^\s/\\'\":;,]+)")
"""A file or folder of a machine, seen from its root or from a home folder; its last part is group 1."""


def public(record: Record) -> Record:
    """A copy of a record that anyone may see.

    Folders of runs, data and caches, and accounts of loggers are left out. They are outside of the run's identity. A
    file of the user's own, or the folder of a model, keeps its last name.

    Raises:
        ConfigError: another setting names a place of this machine.
    """
    config = {**record.config, "runs_dir": "runs", "cache_dir": None, "data_root": None}
    config.pop("config_dir", None)
    config["logger"] = dict.fromkeys(config.get("logger") or {})
    config["task"] = {name: _last(value) if name in FILES else value for name, value in config["task"].items()}
    if "retention" in config:
        config["retention"] = {**config["retention"], "path": _last(config["retention"].get("path"))}
    config["model"] = {**config["model"], "source": _without_folders(config["model"]["source"])}
    shown = record.model_copy(
        update={
            "config": config,
            "search": record.search and record.search.model_copy(update={"trials": list(_trials(record))}),
            "missing": {metric: PLACE.sub(r"\1", why) for metric, why in record.missing.items()},
        }
    )
    for name, value in _texts(shown.model_dump(mode="json")):
        if PLACE.search(value):
            raise ConfigError(
                f"run {record.id}: {name} = {value!r} names a place of this machine, which a public record must not; "
                f"do the run again with a path from the current folder"
            )
    return shown


def _trials(record: Record) -> Iterator[Any]:
    assert record.search
    for trial in record.search.trials:
        yield trial.model_copy(update={"problem": PLACE.sub(r"\1", trial.problem)})


def _last(path: str | None) -> str | None:
    return path and Path(path).name


def _without_folders(source: str) -> str:
    return Path(source).name if Path(source).is_absolute() else source


def _texts(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Each text in plain values, with its dotted name."""
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, dict | list):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for key, one in pairs:
            yield from _texts(one, f"{name}.{key}".removeprefix("."))
