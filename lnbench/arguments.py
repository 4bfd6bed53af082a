"""Arguments shared by the command lines."""

import argparse
from collections.abc import Callable
from math import inf, nan
from pathlib import Path

from lnbench.core.commands import knowing
from lnbench.core.config_folders import use_config_dir
from lnbench.core.registry import allow_modules
from lnbench.core.schema import ConfigError


def parser_of_runs(program: str, description: str, examples: str) -> argparse.ArgumentParser:
    """Makes a parser whose first argument, `run_dir`, is the folder of a run.

    The help ends with `examples`, printed unchanged.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m {program}",
        description=description,
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "run_dir", type=Path, help="folder of a run, which the run printed at its end, or USER/NAME on the hub"
    )
    add_own(parser)
    return parser


def add_own(parser: argparse.ArgumentParser) -> None:
    """Adds the options `--plugin` and `--config-dir`, by which runs may name classes and choices outside lnbench."""
    parser.add_argument(
        "--plugin",
        type=_allow,
        action="append",
        metavar="MODULE",
        help="allow methods and tasks of a module outside lnbench; this runs its code",
    )
    parser.add_argument(
        "--config-dir",
        type=_use,
        metavar="FOLDER",
        help="folder with the configurations of these methods and tasks, laid out like conf/",
    )


def of_own(options: argparse.Namespace) -> list[str]:
    """The overrides that give runs what `--plugin` and `--config-dir` gave to this command."""
    return knowing(options.plugin or (), options.config_dir)


def whole_number(least: int) -> Callable[[str], int]:
    """Reads a whole number that is not less than `least`."""

    def read(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r}: must be a whole number of at least {least}")
        return int(text)

    return read


def number_between(low: float, high: float) -> Callable[[str], float]:
    """Reads a number between two others."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = nan
        if not low < value < high:
            above = f"greater than {low:g}" if high == inf else f"between {low:g} and {high:g}"
            raise argparse.ArgumentTypeError(f"{text!r}: must be a number {above}")
        return value

    return read


def _allow(module: str) -> str:
    try:
        allow_modules([module])
    except ConfigError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return module


def _use(folder: str) -> Path:
    if not Path(folder).is_dir():
        raise argparse.ArgumentTypeError(f"{folder!r}: there is no such folder")
    use_config_dir(Path(folder))
    return Path(folder)
