"""What every command with Hydra overrides does: compose, check, do a job, and turn errors into messages."""

import math
import os
import sys
import traceback
from collections.abc import Callable

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig

from lnbench.compose import ROOT, config_dir, explain, register, to_plain
from lnbench.config import RunConfig, validate
from lnbench.schema import ConfigError
from lnbench.tasks.source import DataError

FAILED, REFUSED, INTERRUPTED = 1, 2, 130
"""Exit codes: a run broke, a configuration cannot be run, the user or the system stopped a run."""

HINT = "See the configuration with --cfg job, the choices with --help."


Job = Callable[[RunConfig], float]
"""What is done with each checked configuration; a sweeper compares what it returns."""


class Command:
    """What Hydra calls for every configuration of a command line."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.exit_code = 0

    def run(self, config: DictConfig) -> float:
        """Does the job for one configuration; in a sweep, a failure is shown and the next one follows.

        Returns:
            What the job returns; NaN if it failed.

        Raises:
            SystemExit: a job outside a sweep failed, or any was interrupted.
        """
        try:
            return self.job(validate(to_plain(config)))
        except (ConfigError, DataError) as error:
            show(str(error))
            self.exit_code = REFUSED
        except Exception:
            traceback.print_exc()
            self.exit_code = FAILED
        if HydraConfig.get().mode is not RunMode.MULTIRUN:
            sys.exit(self.exit_code)
        show(f"Failed: {' '.join(HydraConfig.get().overrides.task)}", hint="")
        return math.nan


def command_line(job: Job) -> None:
    """Does a job for the configuration, or with `-m` the configurations, that the command line describes.

    Exits with 0, or with one of the codes above.
    """
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises its errors, so that they can be explained below
    register()
    command = Command(job)
    try:
        hydra.main(version_base="1.3", config_path=str(config_dir()), config_name=ROOT)(command.run)()
    except (HydraException, ValueError) as error:
        show(explain(error))
        sys.exit(REFUSED)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    sys.exit(command.exit_code)


def show(message: str, hint: str = HINT) -> None:
    """Writes an error to stderr, in red on a terminal."""
    if sys.stderr.isatty() and "NO_COLOR" not in os.environ:
        message = f"\x1b[31m{message}\x1b[0m"
    print(message, hint, sep="\n" if hint else "", file=sys.stderr)
