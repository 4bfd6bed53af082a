"""Names of methods with their changed settings, such as `ln[terms=bias]`."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from lnbench.config.run import code_of_class
from lnbench.core.config_folders import file_of
from lnbench.core.registry import ADDRESS, KIND, allowed_modules
from lnbench.methods.base import METHODS, SEPARATOR, canonical_name
from lnbench.records.record import Record
from lnbench.records.setting import SIGNS

RATE = "lr"
KINDS = (KIND, ADDRESS)
"""Keys that name the class of a part, now and in version 0.1.0."""


def variant_of(method: str, parts: Any) -> str:
    """The canonical name of a method. Each part is followed by the settings in which it differs from the shipped ones.

    Args:
        method: canonical name, which is the result if `parts` holds no settings.
        parts: settings of each part, as in a run's configuration.
    """
    if not isinstance(parts, Mapping) or not all(isinstance(settings, Mapping) for settings in parts.values()):
        return method
    return SEPARATOR.join(_part(name, parts[name]) for name in sorted(parts))


def with_code(records: Sequence[Record]) -> list[str]:
    """For each record, `variant_of` its method. Other code of a user's own method than the usual one is named, too.

    The usual code of a part is that of its class, if the class is known here and there are runs of its code. Else it is
    that of the latest run.
    """
    usual: dict[str, str] = {}
    kinds: dict[str, object] = {}
    found: set[tuple[str, str]] = set()
    for record in sorted(records, key=lambda one: one.finished_at):
        code = _code(record)
        usual |= code
        kinds |= {part: METHODS.kind_in(record.config["method"][part]) for part in code}
        found.update(code.items())
    classes = {part: cls for part, kind in kinds.items() if (cls := METHODS.known(kind))}
    now = {part: own for part, cls in classes.items() if (own := code_of_class(cls)) and (part, own) in found}
    usual |= now
    return [_with_code(record, usual) for record in records]


def _with_code(record: Record, usual: Mapping[str, str]) -> str:
    parts = record.config.get("method")
    older = {part: code[:SIGNS] for part, code in _code(record).items() if usual[part] != code}
    if older and isinstance(parts, Mapping):
        parts = {part: {**own, "code": older[part]} if part in older else own for part, own in parts.items()}
    return variant_of(record.method, parts)


def _code(record: Record) -> dict[str, str]:
    """Digests of the code of a run's own parts, by part."""
    code = record.config.get("code") or {}
    return {part: code[name] for part in record.method.split(SEPARATOR) if (name := f"method.{part}") in code}


def changes(part: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a part that differ from those of its file; all settings if the file is not known."""
    usual = shipped(part)
    return {
        key: settings[key]
        for key in sorted(settings)
        if key not in KINDS and (key not in usual or usual[key] != settings[key])
    }


def configured(method: str, settings: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The settings of each part of a method, as in a run's configuration.

    Args:
        method: parts joined by `+`.
        settings: changed settings by dotted name, such as `ln.terms`.

    Raises:
        ConfigError: a setting of a shipped part does not exist or is not allowed.
    """
    parts = {part: dict(shipped(part)) for part in canonical_name(method.split(SEPARATOR)).split(SEPARATOR)}
    for name, value in settings.items():
        part, _, setting = name.partition(".")
        parts[part][setting] = value
    return {part: _normal(part, values) if KIND in values else values for part, values in parts.items()}


def all_changes(parts: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The changed settings of all parts of a method by dotted name, as `configured` takes them."""
    return {f"{part}.{key}": value for part, own in parts.items() for key, value in changes(part, own).items()}


def shipped(part: str) -> Mapping[str, Any]:
    """The settings of a part in `conf/method/`, or in a folder of the user's; empty if neither has the part."""
    file = file_of("method", part)
    return _in_file(part, file, allowed_modules()) if file else {}


@cache
def _in_file(part: str, file: Path, modules: tuple[str, ...]) -> Mapping[str, Any]:
    """The settings in a file, as far as it has them if its class is in none of the allowed modules."""
    del modules
    raw = OmegaConf.to_container(OmegaConf.load(file))
    assert isinstance(raw, dict)
    values = {str(key): value for key, value in raw.items()}
    if KIND not in values:
        return {}
    return _normal(part, values) if METHODS.known(values[KIND]) else values


def _normal(part: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings in the form of a record."""
    parsed = METHODS.parse(values, f"method.{part}")
    return {**parsed.model_dump(mode="json"), KIND: values[KIND]}


def _part(name: str, settings: Mapping[str, Any]) -> str:
    """Name of a part with its changed settings. The learning rate is left out, because it is shown beside the name."""
    changed = [f"{key}={_text(value)}" for key, value in changes(name, settings).items() if key != RATE]
    return f"{name}[{','.join(changed)}]" if changed else name


def _text(value: object) -> str:
    return SEPARATOR.join(map(str, value)) if isinstance(value, list) else str(value)
