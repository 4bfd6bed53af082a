"""Makes overrides ready for Hydra's grammar, or refuses them with a clear message.

An override with one possible meaning is accepted, and gets the quotes that Hydra needs. An override with two possible
meanings is refused, and the message shows how to type it in a shell.
"""

import contextlib
import functools
import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser, create_functions
from hydra.core.override_parser.types import (
    ChoiceSweep,
    Glob,
    IntervalSweep,
    Override,
    Quote,
    QuotedString,
    RangeSweep,
    Sweep,
    ValueType,
)
from hydra.errors import HydraException

from lnbench.config.run import RunConfig
from lnbench.core import commands
from lnbench.core.config_folders import use_config_dir
from lnbench.core.schema import ConfigError, did_you_mean
from lnbench.methods.base import SEPARATOR

NO_JOBS = "the sweep has no jobs: one of the settings that it is over has no values"
NAME = r"[\w$@:/-]+(\.[\w$@:/-]+)*"
OVERRIDE = re.compile(rf"(?P<key>(\+{{1,2}}|~)?{NAME})=(?P<value>.*)", re.ASCII | re.DOTALL)
DELETION = re.compile(rf"~{NAME}", re.ASCII)
LIST = re.compile(r"\[(?P<values>[^][{}'\"]*)\]")
FUNCTION = re.compile(rf"({'|'.join(create_functions().functions)})\s*\(")
UNCLEAR = re.compile(rf"[\['\"{{]|{FUNCTION.pattern}|.*\$\{{|.*,.*[][]|.*[][].*,", re.DOTALL)
"""Values that Hydra cannot parse, and that may be meant as something other than a text."""
WHOLE = {
    Glob: "glob(PATTERN), or glob([PATTERN,PATTERN]) for several",
    RangeSweep: "range(START,STOP), or the values: VALUE,VALUE",
    IntervalSweep: "the values: VALUE,VALUE",
    ChoiceSweep: "the values: VALUE,VALUE",
}
"""What to type instead of a function inside a list or beside other values."""
GROUP = "method"
SUMS = (GROUP, "logger")
"""Configuration groups from which a run may choose several files, joined by `+`."""
CONFIG_DIR, SEARCH_PATH = "config_dir", "hydra.searchpath"
"""The setting that names a folder of the user's own configurations, and the one by which Hydra searches it."""
USES = {"runs_dir"}
"""Settings that Hydra itself reads, and that need a folder's full name."""


def understood(words: Sequence[str], folders: Sequence[Path]) -> list[str]:
    """Overrides in the form that Hydra's grammar accepts.

    A single `+` before a setting or a group that already exists does no harm. Hydra also searches the folder that
    `config_dir` names.

    Args:
        words: the overrides, as the shell passes them.
        folders: folders of configurations to choose from.

    Raises:
        ConfigError: a word is not an override, cannot be understood, or is a sweep without values.
    """
    typed = [place for word in words for place in _search_path(word)]
    own = [folder for word in words for folder in _config_dir(word)][-1:]
    done = [
        _understood(word, [*folders, *own, *(place for place in typed if isinstance(place, Path))]) for word in words
    ]
    if not own:
        return done
    path = commands.override(
        SEARCH_PATH, [str(place.absolute()) if isinstance(place, Path) else place for place in (*own, *typed)]
    )
    return [*(word for word in done if not word.startswith(f"{SEARCH_PATH}=")), path]


def as_typed(key: str, text: str) -> str:
    """The override that sets a text of any characters, as typed in a shell."""
    return commands.quoted(commands.override(key, text))


def several(argument: str) -> str:
    """The message for an override with several values in a command that is not a sweep."""
    key, _, values = argument.partition("=")
    told = f"{argument}: has several values, and this is no sweep; for one run with each of them add -m"
    if FUNCTION.match(values):
        return told
    if key in SUMS:
        return f"{told}; for one run with all of them: {key}={SEPARATOR.join(values.split(','))}"
    if "." not in key:
        return told
    return f"{told}; for a list: {shlex.quote(f'{key}=[{values}]')}; for a text: {as_typed(key, values)}"


def choices(group: str, folders: Iterable[Path]) -> list[str]:
    """The names that a configuration group offers."""
    return sorted({file.stem for folder in folders for file in (folder / group).glob("*.yaml")})


def groups(folders: Iterable[Path]) -> list[str]:
    """The names of the configuration groups."""
    return sorted({file.name for folder in folders for file in folder.iterdir() if file.is_dir()} - {"hydra"})


def _understood(word: str, folders: Sequence[Path]) -> str:
    if not OVERRIDE.fullmatch(word) and not DELETION.fullmatch(word):
        raise ConfigError(_no_override(word, folders))
    name, equal, typed = word.partition("=")
    if "@" in name:
        bare = f"{name.partition('@')[0]}{equal}{typed}"
        raise ConfigError(f"{word}: @ is not possible here, because a run has each group once; type {bare}")
    if name in SUMS:
        word = re.sub(r"\s*\+\s*", SEPARATOR, word)
    try:
        override = _parsed(word)
    except HydraException as error:
        word = _in_quotes(word, error)
        override = _parsed(word)
    _check_sweep(override, folders)
    key, value = override.key_or_group, override.value()
    if override.is_delete():
        _check_deletion(key, folders)
    elif key in groups(folders) and not _may_be_choice(value):
        raise ConfigError(f"{word}: {key} takes the name of one of: {', '.join(choices(key, folders))}")
    if key in USES and isinstance(value, str) and value.startswith("~"):
        return f"{key}={_quoted(str(Path(value).expanduser()))}"
    root = key.partition(".")[0]
    if root not in RunConfig.model_fields and root not in groups(folders) and "/" not in key and root != "hydra":
        return word.lstrip("+")  # nothing can be added there; without +, Hydra's error leads to the right name
    if not override.is_add() or "/" in key:
        return word
    if key == GROUP:
        raise ConfigError(f"{word}: is {key}={value} meant, or a sum such as {key}=ln{SEPARATOR}{value}?")
    return word[1:] if key in groups(folders[:1]) else f"+{word}"


@functools.lru_cache(maxsize=4096)
def _parsed(word: str) -> Override:
    return OverridesParser.create().parse_override(word)


def _search_path(word: str) -> list[Path | str]:
    """What an override adds to the folders of configurations: folders, and packages such as `pkg://mine.conf`.

    Raises:
        ConfigError: there is no such folder.
    """
    if not word.startswith(f"{SEARCH_PATH}="):
        return []
    value = _parsed(word).value()
    if not isinstance(value, list):
        return []
    places = [Path(text.removeprefix("file://")) if "pkg://" not in text else text for text in map(str, value)]
    for place in places:
        if isinstance(place, Path) and not place.is_dir():
            raise ConfigError(f"{SEARCH_PATH} = {str(place)!r}: there is no such folder")
    return places


def _config_dir(word: str) -> list[Path]:
    """The folder that an override adds to those of configurations; none if it is of another setting, or null.

    This process then knows the folder's choices, also for its messages.

    Raises:
        ConfigError: there is no such folder.
    """
    key, _, typed = word.partition("=")
    if key.lstrip("+") != CONFIG_DIR:
        return []
    value: object = typed
    with contextlib.suppress(HydraException):
        value = _parsed(word).value()
    if value is None:
        return []
    if not isinstance(value, str) or not Path(value).expanduser().is_dir():
        raise ConfigError(f"{CONFIG_DIR} = {typed!r}: there is no such folder")
    folder = Path(value).expanduser()
    use_config_dir(folder)
    return [folder]


def _in_quotes(word: str, error: HydraException) -> str:
    """An override that Hydra cannot parse, with its texts in quotes.

    Raises:
        ConfigError: the override may have another meaning.
    """
    match = OVERRIDE.fullmatch(word)
    key, value = (match["key"], match["value"]) if match else (word, "")
    if listed := LIST.fullmatch(value):
        return f"{key}=[{_elements(word, listed['values'])}]"
    if nested := FUNCTION.match(value) and FUNCTION.search(value, value.index("(")):
        raise ConfigError(
            f"{word}: {nested[1]}(...) cannot stand in another function; type the values: {key}=VALUE,VALUE"
        )
    if not match or UNCLEAR.match(value):
        text = value.strip("'\"")
        raise ConfigError(f"{word}: cannot be understood ({error}); if it is meant as a text: {as_typed(key, text)}")
    return f"{key}={_elements(word, value)}"


def _elements(word: str, values: str) -> str:
    """Comma-separated values, with quotes around those that need them."""
    elements = [value.strip() for value in values.split(",")]
    key = word.partition("=")[0]
    if settings := [one for one in elements[1:] if "=" in one and "." not in key]:
        raise ConfigError(f"{word}: is {settings[0]} another setting? Settings are separated by spaces, not by commas")
    if "" in elements:
        raise ConfigError(f"{word}: a value is missing before or after a comma; type values without spaces")
    return ",".join(map(_element, elements))


def _element(text: str) -> str:
    try:
        return text if _parsed(f"x={text}") else ""
    except HydraException:
        return _quoted(text)


def _quoted(text: str) -> str:
    return QuotedString(text, Quote.double).with_quotes()


def _may_be_choice(value: Any) -> bool:
    """Whether a value may be the choice of a configuration group, or gets a clear error elsewhere."""
    return isinstance(value, list | dict | Sweep | Glob) or (isinstance(value, str) and "${" not in value)


def _check_deletion(key: str, folders: Sequence[Path]) -> None:
    """Refuses to remove a setting or choice that every run needs."""
    if key in RunConfig.model_fields and RunConfig.model_fields[key].is_required():
        names = choices(key, folders)
        other = f"NAME: {', '.join(names)}" if names else "VALUE"
        raise ConfigError(f"~{key}: every run needs a {key}; for another one type {key}={other}")


def _check_sweep(override: Override, folders: Sequence[Path]) -> None:
    """Refuses a sweep without values, or with fewer values than it seems to have."""
    word, key, value = override.input_line, override.key_or_group, override.value()
    if inner := next(_functions(value.list if isinstance(value, ChoiceSweep) else value), None):
        typed = WHOLE[type(inner)]
        raise ConfigError(f"{word}: a function must stand alone, without a list or other values; type {key}={typed}")
    if isinstance(value, Glob):
        _check_glob(str(word), key, value, folders)
    elif override.value_type is ValueType.RANGE_SWEEP and not any(True for _ in override.sweep_iterator()):
        raise ConfigError(f"{word}: is a sweep over no value; range(START,STOP) leaves out STOP")


def _functions(value: Any) -> Iterator[Glob | Sweep]:
    """The functions inside a list or a mapping, at any depth."""
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        if isinstance(one, Glob | Sweep):
            yield one
        yield from _functions(one)


def _check_glob(word: str, key: str, value: Glob, folders: Sequence[Path]) -> None:
    known = choices(key, folders)
    if not known:
        raise ConfigError(f"{word}: glob finds choices of a group, and {key} is no group; type {key}=VALUE,VALUE")
    for pattern in (*value.include, *value.exclude):
        if SEPARATOR in pattern:
            raise ConfigError(
                f"{word}: {pattern!r} matches nothing: globs find single parts, not sums; write the sums out, such as "
                f"{key}=ln+prefix,ln+lora"
            )
        if not any(fnmatch(name, pattern) for name in known):
            raise ConfigError(f"{word}: {pattern!r} matches nothing; there is: {', '.join(known)}")
    if not value.filter(known):
        raise ConfigError(f"{word}: matches nothing, as all that it finds is excluded; there is: {', '.join(known)}")


def _no_override(word: str, folders: Sequence[Path]) -> str:
    known, names = groups(folders), word.split(SEPARATOR)
    key, equal, _ = word.partition("=")
    if equal and key.strip():
        nearest = did_you_mean(key.strip().replace(" ", "_"), known)
        return f"{word}: {key!r} is no name of a setting; {nearest}type KEY=VALUE, without spaces around the ="
    if equal:
        return f"{word}: names no setting; type KEY=VALUE, without spaces around the ="
    if word in known:
        return f"{word}: has no value; type {word}=NAME, without spaces; names: {', '.join(choices(word, folders))}"
    if word.lower() in ("help", "version"):
        return f"{word}: is no override; did you mean --{word.lower()}?"
    offers = [group for group in known if {*names} <= {*choices(group, folders)}]
    if offers:
        more = f" Methods are added up so: {GROUP}=ln{SEPARATOR}{word}" if offers == [GROUP] else ""
        return f"{word}: is no override; did you mean {' or '.join(f'{group}={word}' for group in offers)}?{more}"
    return f"{word}: is no override; type KEY=VALUE, without spaces, such as method=ln or trainer.max_steps=50"
