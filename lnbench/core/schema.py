"""Typed, frozen configuration schemas whose errors name the field, its value and what is allowed.

Neither this file nor any file that defines a schema imports torch at module level. So a mistyped override gets its
error before the slow imports.
"""

import difflib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from math import isfinite
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError


class ConfigError(ValueError):
    """A configuration that cannot be run; the message is meant for the person who wrote it."""


class _OutsideIdentity:
    """Marks a field that cannot change a run's numbers, so that the run's identity leaves it out."""


OutsideIdentity = _OutsideIdentity()
"""Marker for `Annotated[...]`. The field (a path, a display setting) does not change a run's numbers."""

T = TypeVar("T")
Free = Annotated[T, OutsideIdentity]
"""`Free[int]` is an `int` field that is left out of the run's identity."""


class _AddedLater:
    """Marks a field that runs of earlier versions did not have."""


AddedLater = _AddedLater()
"""Marker for `Annotated[...]`. A run's identity leaves the field out if it has its default value."""

Later = Annotated[T, AddedLater]
"""`Later[int]` is an `int` field whose default value leaves the identity of earlier runs as it was."""


def in_home(path: object) -> object:
    """A path with a leading `~` replaced by the home folder. A shell does not do this after `KEY=`."""
    if path == "":
        raise ValueError("must name a file or a folder; null names none")
    return os.path.expanduser(path) if isinstance(path, str) else path


Place = Annotated[Path, BeforeValidator(in_home)]
"""A file or folder of this machine."""


WANTED = {
    "string_type": ("a text", "TEXT"),
    "int_type": ("a whole number", "NUMBER"),
    "float_type": ("a number", "NUMBER"),
    "bool_type": ("true or false", "true"),
    "list_type": ("a list", "[VALUE,VALUE]"),
    "tuple_type": ("a list", "[VALUE,VALUE]"),
    "model_type": ("a group of settings", "NAME"),
}
"""By pydantic's type of error, the kind of value that a setting wants and an example of what to type."""
TYPING = {
    "string_type": "; in quotes it is one",
    "list_type": "; a list is typed in brackets",
    "tuple_type": "; a list is typed in brackets",
}
"""By pydantic's type of error, how to type a value of the kind that a setting wants."""
ONE_VALUE = {"int_type", "float_type", "bool_type", "string_type", "literal_error"}
"""Pydantic's types of errors for settings that take no list."""


class Schema(BaseModel):
    """Base of every configuration: immutable, no unknown keys, no silent type conversions.

    `parse` makes one exception: where a text is wanted, such as a label, a whole number becomes the text of its digits.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    def identity(self) -> dict[str, Any]:
        """The fields that can change a run's numbers, as plain JSON values."""
        dump = self.model_dump(mode="json")
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if OutsideIdentity in field.metadata or (AddedLater in field.metadata and value == field.default):
                dump.pop(name, None)  # a field may leave itself out
            elif isinstance(value, Schema):
                dump[name] = value.identity()
        return dump


S = TypeVar("S", bound=Schema)


def outside_identity(schema: type[Schema]) -> set[str]:
    """The fields of a schema that cannot change a run's numbers."""
    return {name for name, field in schema.model_fields.items() if OutsideIdentity in field.metadata}


def parse(schema: type[S], raw: Mapping[str, Any], path: str = "") -> S:
    """Validates `raw` against `schema`.

    Args:
        schema: the class to build.
        raw: plain values as they come from YAML or JSON.
        path: dotted name of `raw` in the whole configuration, for the error message.

    Raises:
        ConfigError: with one line per problem, which has the field's full name and value.
    """
    plain: dict[str, Any] = json.loads(json.dumps(raw))
    quotes = "; as a text it is typed in quotes"
    _check_leaves(plain, path, f"a finite number{quotes}", lambda leaf: not isinstance(leaf, float) or isfinite(leaf))
    _check_leaves(plain, path, "text whose bytes are UTF-8", lambda leaf: not isinstance(leaf, str) or _is_text(leaf))
    try:
        parsed = schema.model_validate_json(json.dumps(plain), strict=True)
        _check_leaves(
            plain, path, f"of at most 64 bits{quotes}", lambda leaf: not isinstance(leaf, int) or abs(leaf) < 2**63
        )
        return parsed
    except ValidationError as error:
        problems: list[dict[str, Any]] = [dict(problem) for problem in error.errors()]
    numbers: list[tuple[int | str, ...]] = [one["loc"] for one in problems if _is_number_for_text(plain, one)]
    if numbers:
        for location in numbers:
            plain = _with_digits(plain, location)
        return parse(schema, plain, path)
    raise ConfigError("\n".join(_explain_all(schema, plain, path, problems)))


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A question that suggests the entry of `known` nearest to `name`. Empty if none is near."""
    written = {one.lower(): one for one in known}
    nearest = difflib.get_close_matches(name.lower(), written, n=1)
    return f"did you mean {written[nearest[0]]!r}? " if nearest else ""


def _check_leaves(raw: Any, path: str, allowed: str, fits: Callable[[Any], bool]) -> None:
    """Refuses plain settings if a value, at any depth, does not pass `fits`."""
    wrong = [f"{name} = {leaf!r:.50}: must be {allowed}" for name, leaf in _leaves(raw, path) if not fits(leaf)]
    if wrong:
        raise ConfigError("\n".join(wrong))


def _leaves(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    """The dotted name and value of each single value in settings, at any depth."""
    if not isinstance(value, dict | list):
        yield name, value
        return
    for key, one in value.items() if isinstance(value, dict) else enumerate(value):
        yield from _leaves(one, f"{name}.{key}".removeprefix("."))


def _is_text(value: str) -> bool:
    """Whether a text can be written as UTF-8. A file name may have bytes that cannot."""
    return value == value.encode(errors="ignore").decode()


def _is_number_for_text(raw: Any, problem: Mapping[str, Any]) -> bool:
    """Whether a problem is a whole number for a setting that takes only a text."""
    whole = problem["type"] == "string_type" and type(problem["input"]) is int
    return whole and len(_place(raw, problem)) == len(problem["loc"])


def _with_digits(raw: Any, location: Sequence[int | str]) -> Any:
    """A copy of plain values in which the whole number at `location` is a text."""
    if not location:
        return str(raw)
    first, *rest = location
    changed = copy(raw)
    changed[first] = _with_digits(raw[first], rest)
    return changed


def _explain_all(
    schema: type[Schema], raw: Mapping[str, Any], path: str, problems: Iterable[dict[str, Any]]
) -> Iterator[str]:
    """One line per setting with a problem. A setting of several possible types has a problem with each type."""
    settings: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for problem in problems:
        settings.setdefault(_place(raw, problem), []).append(problem)
    for place, own in settings.items():
        if not any(other[: len(place)] == place for other in settings if other != place):
            others = (_message(problem).removeprefix("must be ") for problem in own[1:])
            told = " or ".join([_explain(schema, path, [*place], own[0]), *others])
            values = own[0]["input"]
            sweeps = isinstance(values, list) and all(problem["type"] in ONE_VALUE for problem in own)
            name = ".".join(filter(None, [path, *place]))
            yield f"{told}; for a run with each of them: -m {name}={','.join(map(str, values))}" if sweeps else told


def _place(raw: Any, problem: Mapping[str, Any]) -> tuple[str, ...]:
    """The keys that lead to the setting with a problem, without the types that pydantic tried there."""
    if problem["type"] in ("extra_forbidden", "missing"):
        return tuple(map(str, problem["loc"]))
    place: list[str] = []
    for part in problem["loc"]:
        if not (isinstance(raw, dict) and part in raw) and not (isinstance(raw, list) and isinstance(part, int)):
            break
        raw = raw[part]
        place.append(str(part))
    return tuple(place)


def _explain(schema: type[Schema], path: str, location: list[str], problem: Mapping[str, Any]) -> str:
    name = ".".join(filter(None, [path, *location]))
    if problem["type"] == "extra_forbidden":
        return f"{name}: unknown key; {_known_keys(schema, location)}"
    if problem["type"] == "missing":
        field = _owner(schema, location).model_fields.get(location[-1])
        return f"{name}: is missing{f'; it is {field.description}' if field and field.description else ''}"
    if problem["type"] == "value_error" and isinstance(problem["input"], dict):
        return f"{name}: {_message(problem)}"
    if problem["input"] is not None:
        return f"{name} = {problem['input']!r}: {_message(problem)}{TYPING.get(problem['type'], '')}"
    typed = f"; type {name}={WANTED[problem['type']][1]}" if problem["type"] in WANTED else ""
    return f"{name} = null: {_message(problem)}{typed}"


def _message(problem: Mapping[str, Any]) -> str:
    if problem["type"] in WANTED:
        return f"must be {WANTED[problem['type']][0]}"
    if problem["type"] == "too_short":
        return f"must have at least {problem['ctx']['min_length']} entries"
    return str(problem["msg"]).removeprefix("Value error, ").replace("Input should be", "must be")


def _known_keys(schema: type[Schema], location: list[str]) -> str:
    known = sorted(_owner(schema, location).model_fields)
    return f"{did_you_mean(location[-1], known)}known keys: {', '.join(known)}"


def _owner(schema: type[Schema], location: list[str]) -> type[Schema]:
    """The schema with the field at a location."""
    owner = schema
    for part in location[:-1]:
        owner = next(schemas_in(owner.model_fields[part].annotation), owner) if part in owner.model_fields else owner
    return owner


def schemas_in(annotation: Any) -> Iterator[type["Schema"]]:
    """The schemas in a field's type, also those inside unions and lists."""
    if isinstance(annotation, type) and issubclass(annotation, Schema):
        yield annotation
    for argument in getattr(annotation, "__args__", ()):
        yield from schemas_in(argument)
