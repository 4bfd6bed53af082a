"""The steps of every command with Hydra overrides: compose, check, do a job, and turn errors into messages."""

import os
import sys
import traceback
from argparse import Action
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig

from lnbench import __version__
from lnbench.config.compose import ROOT, explain, register, to_plain
from lnbench.config.overrides import understood
from lnbench.config.run import RunConfig, validate
from lnbench.core.commands import override
from lnbench.core.config_folders import config_dir
from lnbench.core.errors import FAILED, INTERRUPTED, REFUSED, DataError, JobFailed, plainly
from lnbench.core.packages import require_tuning
from lnbench.core.schema import ConfigError, did_you_mean
from lnbench.records.failure import RunFailed
from lnbench.records.lock import RunBusy

IN_THIS_PROCESS = "hydra/launcher=basic"
"""Override that makes one process, the calling one, do all jobs of a sweep one after the other."""

HELP, VERSION = {"--help", "-h"}, "--version"

HINT = "See the configuration with --cfg job, the choices with --help."


Job = Callable[[RunConfig], float]
"""Function that is called with each checked configuration. A sweeper compares the numbers that it returns."""


class Command:
    """The function that Hydra calls for every configuration of a command line."""

    def __init__(self, job: Job) -> None:
        self.job = job

    def run(self, config: DictConfig) -> float:
        """Does the job for one configuration.

        Returns:
            The number that the job returns.

        Raises:
            JobFailed: a job of a sweep failed; the launcher goes on with the next.
            RunBusy: a job of a sweep is being done by another process.
            SystemExit: a job outside a sweep failed, or any was interrupted.
        """
        sweeps = HydraConfig.get().mode is RunMode.MULTIRUN
        try:
            return self.job(_checked(config))
        except Exception as error:
            failed = _tell(error)
            if sweeps and isinstance(error, RunBusy):
                raise
        if sweeps:
            show(f"Failed: {' '.join(HydraConfig.get().overrides.task)}", hint="")
            raise failed
        sys.exit(failed.exit_code)


def _checked(config: DictConfig) -> RunConfig:
    """The validated configuration. Checks that models can be tuned here."""
    try:
        checked = validate(to_plain(config))
    except DataError:
        require_tuning()  # without its packages no data can be found
        raise
    require_tuning()
    return checked


def _tell(error: Exception) -> JobFailed:
    """Shows why a job gave no result."""
    match error:
        case ConfigError() | DataError():
            show(str(error))
            return JobFailed(str(error), REFUSED, "refused")
        case RunBusy():
            show(str(error), hint="")
            return JobFailed(str(error), REFUSED, "busy")
        case RunFailed():
            if error.__cause__:
                traceback.print_exception(error.__cause__)
            show(str(error), hint="")
            return JobFailed(error.message, FAILED, error.cause)
    traceback.print_exception(error)
    return JobFailed(f"{type(error).__name__}: {error}", FAILED, "error")


def command_line(job: Job, *overrides: str, about: str | None = None) -> None:
    """Does a job for each configuration that the command line describes: one, or several with `-m`.

    The process exits with 0, or with `REFUSED`, `FAILED` or `INTERRUPTED` of `lnbench.core.errors`.

    Args:
        job: function to call with each configuration.
        overrides: further overrides, placed after those of the command line.
        about: what the command does, for its `--help`; None for `lnbench` itself, which its configuration describes.
    """
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises its errors, and they can be explained below
    register()
    try:
        sys.argv[1:] = arranged([*sys.argv[1:], *overrides])
        if about and not HELP.isdisjoint(sys.argv):
            print(about)
        hydra.main(version_base="1.3", config_path=str(config_dir()), config_name=ROOT)(Command(job).run)()
        sys.exit()
    except (HydraException, ValueError) as error:
        show(explain(error))
        sys.exit(REFUSED)
    except OSError as error:  # of Hydra or a launcher; the errors of a job have been shown already
        show(f"{plainly(error)}; where runs are written is chosen by runs_dir=FOLDER")
        sys.exit(REFUSED)
    except JobFailed as failed:
        sys.exit(failed.exit_code)
    except RunBusy:
        sys.exit(REFUSED)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def arranged(arguments: Sequence[str]) -> list[str]:
    """Arranges a command line for Hydra: options first, then overrides in Hydra's grammar.

    Raises:
        ConfigError: an argument is neither an option nor an override, or cannot be understood.
    """
    options: list[str] = []
    words: list[str] = []
    rest = deque(arguments)
    while rest:
        word = rest.popleft()
        if not word.startswith("-"):
            words.append(word)
            continue
        action = _option(word)
        options.append(word)
        if "=" not in word and _takes_next(action, rest):
            options.append(rest.popleft())
        value = options[-1].removeprefix(f"{word.partition('=')[0]}=")
        if value != word and action.choices and value not in action.choices:
            raise ConfigError(f"{word}: {value!r} is not one of {', '.join(action.choices)}")
        if action.dest == "config_dir" and Path(value).is_dir():  # else Hydra says that it is not there
            words.append(override("config_dir", Path(value)))
    if VERSION in options:
        print(f"lnbench {__version__}")
        sys.exit()
    if not HELP.isdisjoint(options):
        return options
    return [*options, *understood(words, [config_dir()])]


def _takes_next(action: Action, rest: Sequence[str]) -> bool:
    """Whether the next word of the command line is an option's value.

    Raises:
        ConfigError: the option must have a value, and there is none.
    """
    value = bool(rest) and not (rest[0].startswith("-") or ("=" in rest[0] and action.choices))
    if action.nargs is None and not value:
        allowed = f": {', '.join(action.choices)}" if action.choices else ""
        raise ConfigError(f"{action.option_strings[0]}: has no value{allowed}")
    return value and action.nargs != 0


def _option(word: str) -> Action:
    """The option that a word of the command line names, in full or by its first letters.

    Raises:
        ConfigError: there is no such option, or more than one.
    """
    known = {name: action for action in get_args_parser()._actions for name in action.option_strings}
    name = word.partition("=")[0]
    found = [known[name]] if name in known else [known[one] for one in known if name[2:] and one.startswith(name)]
    if len(found) != 1:
        setting = word.lstrip("-") if "=" in word else "KEY=VALUE"
        raise ConfigError(
            f"{word}: there is no such option; {did_you_mean(name, known)}--hydra-help lists them, and a setting is "
            f"typed without dashes: {setting}"
        )
    return found[0]


def show(message: str, hint: str = HINT) -> None:
    """Writes an error to stderr, in red on a terminal."""
    if sys.stderr.isatty() and "NO_COLOR" not in os.environ:
        message = f"\x1b[31m{message}\x1b[0m"
    print(message, hint, sep="\n" if hint else "", file=sys.stderr)
