"""Adds to a configuration file the settings that it leaves to its schema's defaults, so that users can set them."""

from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf
from pydantic_core import to_jsonable_python

from lnbench.backbone.config import ModelConfig
from lnbench.config.run import LoggerConfig, SearchConfig
from lnbench.config.trainer import TrainerConfig
from lnbench.core.registry import Registry
from lnbench.core.schema import ConfigError, Schema, schemas_in
from lnbench.methods.base import METHODS
from lnbench.tasks.base import TASKS

SCHEMAS: dict[str, type[Schema]] = {
    "model": ModelConfig,
    "trainer": TrainerConfig,
    "search": SearchConfig,
    "logger": LoggerConfig,
}
"""Schemas of the configuration groups with one schema for all files."""
REGISTRIES: dict[str, Registry[Any]] = {"method": METHODS, "task": TASKS}
"""Registries of the configuration groups in which each file names its own class."""
FOUND_OUT = {"content"}
"""Settings that lnbench fills in and nobody types."""
LEFT_OUT = FOUND_OUT | {*LoggerConfig.model_fields}
"""Settings that are not filled in here."""


def completed(group: str, content: DictConfig) -> DictConfig:
    """The content of a configuration file, with the default of every setting that it leaves out.

    A file is returned unchanged if its schema is not known or if it has a defaults list. Loggers that it does not
    choose are left out, so that a part of a sum does not undo another.
    """
    plain = OmegaConf.to_container(content)
    schema = _schema_of(group, plain) if isinstance(plain, dict) else None
    return OmegaConf.create(_filled(schema, plain)) if schema and isinstance(plain, dict) else content


def _schema_of(group: str, content: Mapping[Any, Any]) -> type[Schema] | None:
    if "defaults" in content:
        return None
    if registry := REGISTRIES.get(group):
        try:
            return registry.find(registry.kind_in(content), group)
        except ConfigError:  # the user's class, in a module not allowed yet, or a mistake that is reported later
            return None
    schema = SCHEMAS.get(group)
    return schema if schema and set(content) <= set(schema.model_fields) else None


def _filled(schema: type[Schema], content: Mapping[Any, Any]) -> dict[Any, Any]:
    whole = dict(content)
    for name, field in schema.model_fields.items():
        value, inner = whole.get(name), next(schemas_in(field.annotation), None)
        if inner and isinstance(value, Mapping):
            whole[name] = _filled(inner, value)
        elif name not in whole and not field.is_required() and name not in LEFT_OUT:
            whole[name] = to_jsonable_python(field.get_default(call_default_factory=True))
    return whole
