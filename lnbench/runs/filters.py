"""Filters such as `KEY=VALUE`, which select runs."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, get_args

from lnbench.core.schema import ConfigError, did_you_mean
from lnbench.methods.base import SEPARATOR, canonical_name
from lnbench.records.listing import State
from lnbench.runs.listed import Listed
from lnbench.runs.row import flat

KEYS = ("id", "state", "method", "task", "model", "seed")
"""Keys of every run. Any dotted name of a setting is a key too."""
FILTER = re.compile(r"([A-Za-z_][\w.]*)=(.*)", re.DOTALL)
COMMA = re.compile(r",(?![^\[]*\])")
"""A comma outside of brackets."""
NOTHING = object()


@dataclass(frozen=True)
class Filter:
    """One condition. Any of its patterns may match; `*` and `?` in them stand for any characters."""

    key: str
    patterns: tuple[str, ...]

    def fits(self, run: Listed) -> bool:
        """Whether a run meets the condition. A run without the setting does not."""
        value = self.value(run)
        return value is not NOTHING and any(_fits(value, pattern) for pattern in self.patterns)

    def value(self, run: Listed) -> Any:
        """The run's value for the key, or `NOTHING`."""
        if self.key in KEYS:
            return getattr(run.row, self.key)
        node: Any = run.run.config
        for name in self.key.split("."):
            if not isinstance(node, dict) or name not in node:
                return NOTHING
            node = node[name]
        return node


def parse_filter(text: str) -> Filter:
    """Parses a word `KEY=VALUE,...` of the command line into a condition.

    Raises:
        ConfigError: the word is no valid condition.
    """
    match = FILTER.fullmatch(text)
    if not match or not match[2]:
        raise ConfigError(f"{text!r}: must be KEY=VALUE, such as method=ln or seed=0,1")
    key, patterns = match[1], COMMA.split(match[2])
    if key == "method":
        patterns = [pattern if _is_glob(pattern) else _canonical(pattern) for pattern in patterns]
    if key == "state":
        _check_states(patterns)
    return Filter(key, tuple(patterns))


def select(runs: Sequence[Listed], filters: Sequence[Filter]) -> list[Listed]:
    """The runs that meet all conditions.

    Raises:
        ConfigError: no run at all has one of the keys.
    """
    for one in filters:
        if runs and all(one.value(run) is NOTHING for run in runs):
            raise ConfigError(_unknown(one.key, runs))
    quick_first = sorted(filters, key=lambda one: one.key not in KEYS)  # the others read the run's files
    return [run for run in runs if all(one.fits(run) for one in quick_first)]


def _fits(value: Any, pattern: str) -> bool:
    text = as_text(value)
    if pattern == text or (isinstance(value, int | float) and _number(pattern) == value):
        return True
    return _is_glob(pattern) and fnmatchcase(text, pattern.replace("[", "[[]"))


def as_text(value: Any) -> str:
    """A setting in the form of the command line."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return f"[{','.join(map(as_text, value))}]" if isinstance(value, list) else str(value)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _is_glob(pattern: str) -> bool:
    return "*" in pattern or "?" in pattern


def _canonical(method: str) -> str:
    return canonical_name(method.split(SEPARATOR))


def _check_states(patterns: Iterable[str]) -> None:
    states = get_args(State)
    for pattern in patterns:
        if not any(_fits(state, pattern) for state in states):
            raise ConfigError(f"state = {pattern!r}: {did_you_mean(pattern, states)}must be one of {', '.join(states)}")


def _unknown(key: str, runs: Iterable[Listed]) -> str:
    settings = sorted({name for run in runs for name in flat(run.run.config)} - set(KEYS))
    near = did_you_mean(key, [*KEYS, *settings])
    return f"{key}: no run has such a setting; {near}known keys: {', '.join([*KEYS, *settings])}"
