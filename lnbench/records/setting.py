"""Settings in which runs differ, besides method, task, model and seed."""

import functools
import json
import marshal
import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lnbench.config.run import identity_of_saved
from lnbench.core.registry import allowed_modules
from lnbench.core.schema import ConfigError
from lnbench.records.record import Record
from lnbench.tasks.data.content import FIELDS

APART = ("seed", "method", "task.name", "model.name", "trainer.lr", "trainer.lr_factor")
"""Settings with a column of their own."""
LIBRARIES = ("torch", "transformers")
"""Libraries for which a new minor version can change scores."""
CONTENT = re.compile(r"(task|model|retention)\.content\b")
"""Settings that hold digests of the data, the model or the general text."""
SPLITS = "task.splits."
"""Begin of the names of settings that all tasks share."""
CODE = "code.task"
"""Digest of the code of a user's own task."""
DIGEST = re.compile(r"\b[0-9a-f]{40,64}\b")
SIGNS = 8
"""Number of digits of a digest that are shown."""
REMEMBERED = 1_000
"""Number of configurations, without their seeds, that are kept in memory."""
PLAIN = 2
"""Version of Python's `marshal` whose bytes do not depend on which objects are the same in memory."""
WAYS = 4
"""Number of ways to name a content."""


def settings(records: Sequence[Record]) -> list[str]:
    """For each record, all settings in which it differs from another record, as `trainer.max_epochs=20, ...`.

    A task's settings are compared with those of the same task, and all others with those of the same model. A setting
    of splits that varies in one task is also told of other tasks with the same value, since one experiment sets it for
    all of its tasks.
    """
    keys = [(record.task, record.model, *_key(record)) for record in records]
    distinct = dict(zip(keys, records, strict=True))
    told = dict(zip(distinct, _settings(list(distinct.values())), strict=True))
    return [told[key] for key in keys]


def check_settings(record: Record) -> None:
    """Raises an error of any kind if the settings of a record, which may come from anyone, cannot be compared."""
    _flat(record)


def _settings(records: Sequence[Record]) -> list[str]:
    flat = [_flat(record) for record in records]
    varied = _varied(records, flat)
    told = _contents(records, flat, varied)
    return [
        ", ".join(
            dict.fromkeys(
                told.get((_scope(record, name), name, value), f"{name}={value[:SIGNS] if name == CODE else value}")
                for name, value in sorted(one.items())
                if (_scope(record, name), name) in varied
            )
        )
        for record, one in zip(records, flat, strict=True)
    ]


def rates(record: Record) -> str:
    """The learning rates of a run: one number, one number for each part, or `searched`."""
    if record.search and "lr" in record.search.parameter:
        return "searched"
    trainer, parts = record.config.get("trainer") or {}, record.config.get("method") or {}
    if trainer.get("lr"):
        return f"{trainer['lr']:g}"
    own = {name: part["lr"] * trainer.get("lr_factor", 1.0) for name, part in sorted(parts.items()) if "lr" in part}
    distinct = {f"{rate:g}" for rate in own.values()}
    return distinct.pop() if len(distinct) == 1 else ", ".join(f"{name} {rate:g}" for name, rate in own.items())


def _contents(
    records: Sequence[Record], flat: Sequence[Mapping[str, str]], varied: set[tuple[str, str]]
) -> dict[tuple[str, str, str], str]:
    """Names of contents, by scope, setting and value. Each name is the shortest one that distinguishes them."""
    ways: dict[tuple[str, str], dict[str, list[tuple[str, ...]]]] = defaultdict(lambda: defaultdict(list))
    for record, one in zip(records, flat, strict=True):
        for name, value in one.items():
            if CONTENT.match(name) and (_scope(record, name), name) in varied:
                ways[_scope(record, name), name][value].append(_ways(record, name, value))
    return {
        (scope, name, value): min(way[best] for way in found)
        for (scope, name), contents in ways.items()
        for best in [next(level for level in range(WAYS) if _tells_apart(contents.values(), level))]
        for value, found in contents.items()
    }


def _ways(record: Record, name: str, value: str) -> tuple[str, ...]:
    """The possible names of a content, from the name of a file or folder to the complete digest."""
    whole, short = f"{name}={value}", f"{name}={DIGEST.sub(lambda digest: digest[0][:SIGNS], value)}"
    setting, place = _place(record.config, name)
    if not isinstance(place, str):
        return (short, short, short, whole)
    return (f"{setting}={Path(place).name}", f"{setting}={place}", short, whole)


def _place(config: Mapping[str, Any], name: str) -> tuple[str, Any]:
    """The setting that names the place of a content, and its value."""
    group, _, role = name.partition(".content")
    settings = config.get(group)
    if not isinstance(settings, Mapping):
        return group, None
    if group == "model":
        return "model.source", settings.get("source")
    if group == "retention":
        named = "path" if settings.get("path") else "data"
        return f"retention.{named}", settings.get(named)
    field = FIELDS.get(role.removeprefix("."), "")
    return (f"task.{field}", settings[field]) if settings.get(field) else ("data_root", config.get("data_root"))


def _tells_apart(contents: Collection[Sequence[tuple[str, ...]]], level: int) -> bool:
    """Whether all contents have different names at this level."""
    names = [{way[level] for way in found} for found in contents]
    return level == WAYS - 1 or len(set().union(*names)) == sum(map(len, names))


def _varied(records: Sequence[Record], flat: Sequence[Mapping[str, str]]) -> set[tuple[str, str]]:
    """Scopes and names of the settings that have several values, or that only some runs of their scope have."""
    values: dict[tuple[str, str], set[str]] = defaultdict(set)
    present: dict[tuple[str, str], int] = defaultdict(int)
    sizes: dict[str, int] = defaultdict(int)
    for record, one in zip(records, flat, strict=True):
        for scope in (f"task {record.task}", f"model {record.model}"):
            sizes[scope] += 1
        for name, value in one.items():
            values[_scope(record, name), name].add(value)
            present[_scope(record, name), name] += 1
    varied = {key for key, seen in values.items() if len(seen) > 1 or present[key] < sizes[key[0]]}
    splits: dict[str, set[str]] = defaultdict(set)
    for scope, name in varied:
        if name.startswith(SPLITS):
            splits[name] |= values[scope, name]
    return varied | {key for key, seen in values.items() if seen & splits.get(key[1], set())}


def _scope(record: Record, name: str) -> str:
    return f"task {record.task}" if name.startswith("task.") or name == CODE else f"model {record.model}"


def _flat(record: Record) -> dict[str, str]:
    config, made_with = _key(record)
    return {**_told(config, allowed_modules()), **dict(made_with)}


def _key(record: Record) -> tuple[bytes, tuple[tuple[str, str], ...]]:
    """A key of everything that `settings` compares. Runs that differ only in their seeds have the same key."""
    config = {name: value for name, value in record.config.items() if name != "seed"}
    return key_of(config), tuple(_made_with(record).items())


def key_of(value: Any) -> bytes:
    """The same bytes for JSON values that are equal and of equal order, faster than JSON."""
    return marshal.dumps(value, PLAIN)


@functools.lru_cache(maxsize=REMEMBERED)
def _told(config: bytes, modules: tuple[str, ...]) -> dict[str, str]:
    """The settings of a configuration without a column of their own, by its key, because seeds share it.

    Args:
        config: key of the configuration without the seed.
        modules: on which the classes depend that a configuration may name.
    """
    return {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in leaves(identity_of({**marshal.loads(config), "seed": 0}))
        if not name.startswith(("method.", "code.method.")) and name not in APART
    }


def _made_with(record: Record) -> dict[str, str]:
    """Facts that may change numbers but are no settings: the protocol, and the minor versions of libraries."""
    versions = {name: record.versions[name] for name in LIBRARIES if name in record.versions}
    minor = {name: ".".join(version.split("+")[0].split(".")[:2]) for name, version in versions.items()}
    return {"protocol": str(record.protocol), **minor}


def identity_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a configuration that can change the numbers; all settings if this lnbench cannot read it."""
    try:
        return identity_of_saved(config)
    except ConfigError:
        return dict(config)


def leaves(node: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """The dotted name and the value of every single setting in nested settings."""
    for key, value in node.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value
