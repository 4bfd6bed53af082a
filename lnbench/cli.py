"""What every command with Hydra overrides does: compose, check, do a job, and turn errors into messages."""

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
from lnbench.outcome import FAILED, INTERRUPTED, REFUSED, JobFailed
from lnbench.records.failure import RunFailed
from lnbench.records.lock import RunBusy
from lnbench.schema import ConfigError
from lnbench.tasks.source import DataError

IN_THIS_PROCESS = "hydra/launcher=basic"
"""Override with which all jobs of a sweep are done one after the other in the calling process."""

HINT = "See the configuration with --cfg job, the choices with --help."


Job = Callable[[RunConfig], float]
"""What is done with each checked configuration; a sweeper compares what it returns."""


class Command:
    """What Hydra calls for every configuration of a command line."""

    def __init__(self, job: Job) -> None:
        self.job = job

    def run(self, config: DictConfig) -> float:
        """Does the job for one configuration.

        Returns:
            What the job returns.

        Raises:
            JobFailed: a job of a sweep failed; the launcher goes on with the next.
            RunBusy: a job of a sweep is being done by another process.
            SystemExit: a job outside a sweep failed, or any was interrupted.
        """
        sweeps = HydraConfig.get().mode is RunMode.MULTIRUN
        try:
            return self.job(validate(to_plain(config)))
        except Exception as error:
            failed = _tell(error)
            if sweeps and isinstance(error, RunBusy):
                raise
        if sweeps:
            show(f"Failed: {' '.join(HydraConfig.get().overrides.task)}", hint="")
            raise failed
        sys.exit(failed.exit_code)


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


def command_line(job: Job, *overrides: str) -> None:
    """Does a job for the configuration, or with `-m` the configurations, that the command line describes.

    Exits with 0, or with one of the codes above.

    Args:
        job: what is done.
        overrides: put after those of the command line.
    """
    sys.argv += overrides
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises its errors, so that they can be explained below
    register()
    try:
        hydra.main(version_base="1.3", config_path=str(config_dir()), config_name=ROOT)(Command(job).run)()
        sys.exit()
    except (HydraException, ValueError) as error:
        show(explain(error))
        sys.exit(REFUSED)
    except JobFailed as failed:
        sys.exit(failed.exit_code)
    except RunBusy:
        sys.exit(REFUSED)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def show(message: str, hint: str = HINT) -> None:
    """Writes an error to stderr, in red on a terminal."""
    if sys.stderr.isatty() and "NO_COLOR" not in os.environ:
        message = f"\x1b[31m{message}\x1b[0m"
    print(message, hint, sep="\n" if hint else "", file=sys.stderr)
