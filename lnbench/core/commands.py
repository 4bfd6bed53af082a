"""Commands that people can copy, quoted for Hydra's grammar and for the shell."""

import functools
import re
import shlex
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException

INTERPOLATION = re.compile(r"(\\*)\$\{")
"""Start of an interpolation, which OmegaConf replaces by another value, with the backslashes before it."""


HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode categories of invisible characters (controls, formats, surrogates, separators of lines and paragraphs)."""


def override(name: str, *values: Any, mark: str = "") -> str:
    """An override that gives a setting one value, or sweeps over several.

    Args:
        name: dotted name of the setting.
        values: plain values, lists or mappings of them, or paths.
        mark: `++` if the configuration may not list the setting yet.
    """
    return f"{mark}{name}={','.join(map(_written, values))}"


def command(words: Iterable[str], several: bool = False) -> str:
    """The command that does a run, or a sweep of several.

    Args:
        words: overrides, quoted for Hydra.
        several: whether the overrides describe more than one run.
    """
    return tool("lnbench", *(["-m"] if several else []), *words)


def tool(module: str, *arguments: str | Path) -> str:
    """The command that runs a Python module."""
    return " ".join(map(quoted, ["python", "-m", module, *map(str, arguments)]))


def predict(folder: str | Path, texts: Sequence[str], plugins: Sequence[str] = ()) -> str:
    """The command that asks a tuned model for its answer to an input.

    Args:
        folder: the run's folder.
        texts: the texts of the input, two for a pair.
        plugins: modules outside lnbench that the run needs.
    """
    return tool("lnbench.predict", folder, "\t".join(texts), *allowing(plugins))


def allowing(plugins: Sequence[str]) -> list[str]:
    """The options that allow a command to import modules outside lnbench."""
    return [word for name in plugins for word in ("--plugin", name)]


def knowing(plugins: Sequence[str], config_dir: str | Path | None) -> list[str]:
    """The overrides that let a run choose methods and tasks outside lnbench.

    Args:
        plugins: modules with their classes.
        config_dir: folder with their configurations.
    """
    return [
        *([override("plugins", plugins)] if plugins else []),
        *([override("config_dir", Path(config_dir))] if config_dir is not None else []),
    ]


def quoted(word: str) -> str:
    """A word as it is typed in a shell.

    Tabs and invisible characters become escape sequences of bash. Line ends stay.
    """
    if not any(map(_acts, word)):
        return shlex.quote(word)
    return f"$'{''.join(map(_letter, word))}'"


def _acts(char: str) -> bool:
    return char != "\n" and unicodedata.category(char) in HIDDEN


def _letter(char: str) -> str:
    if char in "\\'":
        return f"\\{char}"
    if char == "\t":
        return "\\t"
    if not _acts(char):
        return char
    if "\udc80" <= char <= "\udcff":  # a byte of a file name that is not UTF-8
        return f"\\x{ord(char) - 0xDC00:02x}"
    return f"\\U{ord(char):08x}"


def _written(value: Any) -> str:
    """A value in Hydra's grammar."""
    if isinstance(value, Mapping):
        return f"{{{','.join(f'{_written(str(key))}:{_written(item)}' for key, item in value.items())}}}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{','.join(map(_written, value))}]"
    if isinstance(value, Path):
        return _text(f"./{value}" if str(value).startswith("~") else str(value))  # a bare ~ would mean the home folder
    if isinstance(value, str):
        return _text(value)
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _text(text: str) -> str:
    literal = INTERPOLATION.sub(lambda found: rf"{2 * found[1]}\${{", text)
    return literal if _is_plain(literal) else QuotedString(literal, Quote.double).with_quotes()


@functools.lru_cache(maxsize=65_536)
def _is_plain(text: str) -> bool:
    """Whether Hydra reads a text without quotes as itself, alone and in a list."""
    try:
        (whole, listed) = OverridesParser.create().parse_overrides([f"a={text}", f"a=[{text}]"])
    except HydraException:
        return False
    return not whole.is_sweep_override() and whole.value() == text and listed.value() == [text]
