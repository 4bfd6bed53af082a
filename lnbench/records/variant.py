"""Names of methods with their changed settings, such as `ln[terms=bias]`."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from omegaconf import OmegaConf

from lnbench.config.compose import config_dir
from lnbench.core.registry import ADDRESS, KIND
from lnbench.methods.base import METHODS, SEPARATOR, canonical_name

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


def changes(part: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a part that differ from the shipped ones; all settings if the part is not shipped."""
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


@cache
def shipped(part: str) -> Mapping[str, Any]:
    """The settings of a part in `conf/method/`; empty if the part is not shipped."""
    file = config_dir() / "method" / f"{part}.yaml"
    if not file.is_file():
        return {}
    raw = OmegaConf.to_container(OmegaConf.load(file))
    assert isinstance(raw, dict)
    values = {str(key): value for key, value in raw.items()}
    return _normal(part, values) if KIND in values else {}


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
