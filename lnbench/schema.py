"""Typed, frozen configuration schemas whose errors name the field, its value and what is allowed.

Nothing here, and nothing that derives a schema from it, imports torch at module level: a mistyped
override must be answered before the slow imports.
"""

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError


class ConfigError(ValueError):
    """A configuration that cannot be run; the message is meant for the person who wrote it."""


class _OutsideIdentity:
    """Marks a field that cannot change a run's numbers, and so is left out of its identity."""


OutsideIdentity = _OutsideIdentity()
"""Put in `Annotated[...]`: the field (a path, a display setting) does not change a run's numbers."""

T = TypeVar("T")
Free = Annotated[T, OutsideIdentity]
"""`Free[int]` is an `int` field that is left out of the run's identity."""


class _AddedLater:
    """Marks a field that runs of earlier versions did not have."""


AddedLater = _AddedLater()
"""Put in `Annotated[...]`: the field is left out of a run's identity where it has its default value."""

Later = Annotated[T, AddedLater]
"""`Later[int]` is an `int` field whose default value leaves the identity of earlier runs as it was."""


class Schema(BaseModel):
    """Base of every configuration: immutable, no unknown keys, no silent type conversions."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    def identity(self) -> dict[str, Any]:
        """The fields that can change a run's numbers, as plain JSON values."""
        dump = self.model_dump(mode="json")
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if OutsideIdentity in field.metadata or (AddedLater in field.metadata and value == field.default):
                del dump[name]
            elif isinstance(value, Schema):
                dump[name] = value.identity()
        return dump


S = TypeVar("S", bound=Schema)


def parse(schema: type[S], raw: Mapping[str, Any], path: str = "") -> S:
    """Validates `raw` against `schema`.

    Args:
        schema: the class to build.
        raw: plain values as they come from YAML or JSON.
        path: dotted name of `raw` in the whole configuration, for the error message.

    Raises:
        ConfigError: one line a problem, each with the field's full name and value.
    """
    try:
        return schema.model_validate_json(json.dumps(raw), strict=True)
    except ValidationError as error:
        lines = [_explain(schema, path, dict(problem)) for problem in error.errors()]
        raise ConfigError("\n".join(lines)) from None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A question that offers the one of `known` that is nearest to `name`; empty when none is near."""
    nearest = difflib.get_close_matches(name, list(known), n=1)
    return f"did you mean {nearest[0]!r}? " if nearest else ""


def _explain(schema: type[Schema], path: str, problem: dict[str, Any]) -> str:
    location = [str(part) for part in problem["loc"]]
    name = ".".join(filter(None, [path, *location]))
    if problem["type"] == "extra_forbidden":
        return f"{name}: unknown key; {_known_keys(schema, location)}"
    if problem["type"] == "missing":
        return f"{name}: is missing"
    return f"{name} = {problem['input']!r}: {problem['msg'].removeprefix('Value error, ')}"


def _known_keys(schema: type[Schema], location: list[str]) -> str:
    owner: type[BaseModel] = schema
    for part in location[:-1]:
        owner = next(_schemas_in(owner.model_fields[part].annotation), owner) if part in owner.model_fields else owner
    known = sorted(owner.model_fields)
    return f"{did_you_mean(location[-1], known)}known keys: {', '.join(known)}"


def _schemas_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in getattr(annotation, "__args__", ()):
        yield from _schemas_in(argument)
