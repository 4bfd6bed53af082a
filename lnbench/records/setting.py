"""What else differs between runs than their method, task, model and seed."""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lnbench.config.run import validate_saved
from lnbench.core.schema import ConfigError
from lnbench.records.record import Record

APART = ("seed", "method", "task.name", "model.name", "trainer.lr", "trainer.lr_factor")
"""What has a column of its own."""
LIBRARIES = ("torch", "transformers")
"""Whose minor versions move scores."""


def settings(records: Sequence[Record]) -> list[str]:
    """For each record, all settings in which it differs from any other one, as `trainer.max_epochs=20, ...`.

    A task's settings are compared with those of the same task, and all others with those of the same model.
    """
    flat = [_flat(record) for record in records]
    varied = _varied(records, flat)
    return [
        ", ".join(f"{name}={value}" for name, value in sorted(one.items()) if (_scope(record, name), name) in varied)
        for record, one in zip(records, flat, strict=True)
    ]


def rates(record: Record) -> str:
    """The learning rates of a run: one number, one for each part, or that they were searched for."""
    if record.search and "lr" in record.search.parameter:
        return "searched"
    trainer, parts = record.config.get("trainer") or {}, record.config.get("method") or {}
    if trainer.get("lr"):
        return f"{trainer['lr']:g}"
    own = {name: part["lr"] * trainer.get("lr_factor", 1.0) for name, part in sorted(parts.items()) if "lr" in part}
    distinct = {f"{rate:g}" for rate in own.values()}
    return distinct.pop() if len(distinct) == 1 else ", ".join(f"{name} {rate:g}" for name, rate in own.items())


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
    return {key for key, seen in values.items() if len(seen) > 1 or present[key] < sizes[key[0]]}


def _scope(record: Record, name: str) -> str:
    return f"task {record.task}" if name.startswith("task.") else f"model {record.model}"


def _flat(record: Record) -> dict[str, str]:
    told = {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in leaves(identity_of(record.config))
        if not name.startswith("method.") and name not in APART
    }
    return {**told, **_made_with(record)}


def _made_with(record: Record) -> dict[str, str]:
    """What may change numbers and is no setting: the protocol, and the minor versions of libraries."""
    versions = {name: record.versions[name] for name in LIBRARIES if name in record.versions}
    minor = {name: ".".join(version.split("+")[0].split(".")[:2]) for name, version in versions.items()}
    return {"protocol": str(record.protocol), **minor}


def identity_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """What of a configuration can change the numbers; all of it if this lnbench cannot read it."""
    try:
        return validate_saved(config).identity()
    except ConfigError:
        return dict(config)


def leaves(node: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """The dotted name and the value of everything in nested settings that is not a group of settings."""
    for key, value in node.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value
