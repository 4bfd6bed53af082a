"""Logs a run at every place that its configuration names."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger

from lnbench.config.run import LoggerConfig, RunConfig
from lnbench.core.interruption import RunInterrupted
from lnbench.core.schema import ConfigError
from lnbench.records.identity import Address
from lnbench.records.record import Record
from lnbench.training.loggers.log import FAILED, INTERRUPTED, SUCCEEDED, Log, warn

PACKAGES = {"mlflow": ("mlflow", "sqlalchemy", "alembic"), "tensorboard": ("tensorboard",)}
"""By logger, the modules that its extra installs."""


class RunLogger(Logger):
    """Lightning's view of the places where a run is logged."""

    def __init__(self, logs: Sequence[Log]) -> None:
        """
        Args:
            logs: the places, at least one.
        """
        super().__init__()
        self._logs = logs

    @property
    def name(self) -> None:
        """None: the places have names of their own."""

    @property
    def version(self) -> None:
        """None: the places have versions of their own."""

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Nothing: each place gets the run's whole configuration."""

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Adds points to the curves of all places."""
        for log in self._logs:
            log.attempt(log.log_metrics, metrics, step)

    def log_results(self, record: Record, folder: Path) -> None:
        """Adds the results of a finished run, whose files are in `folder`, to all places."""
        for log in self._logs:
            log.attempt(log.log_results, record, folder)

    def close(self, exit_code: int, folder: Path) -> None:
        """Ends the logs of this process at all places."""
        for log in self._logs:
            log.attempt(log.close, exit_code, folder)


def require_loggers(settings: LoggerConfig) -> None:
    """Makes sure that the packages of the chosen loggers are installed.

    Raises:
        ConfigError: one is not.
    """
    for name, modules in PACKAGES.items():
        absent = [module for module in modules if find_spec(module) is None]
        if absent and getattr(settings, name) is not None:
            raise ConfigError(f"logger = {name!r}: needs {', '.join(absent)}; type pip install 'lnbench[{name}]'")


@contextlib.contextmanager
def open_logger(config: RunConfig, address: Address) -> Iterator[RunLogger | None]:
    """The run's logger, always closed at the end; None if the run asks for none, or no place could be opened."""
    logs = [log for title, start in _chosen(config, address) if (log := _started(title, start))]
    if not logs:
        yield None
        return
    logger, exit_code = RunLogger(logs), FAILED
    try:
        yield logger
        exit_code = SUCCEEDED
    except (RunInterrupted, KeyboardInterrupt):
        exit_code = INTERRUPTED
        raise
    finally:
        logger.close(exit_code, address.folder)


def _chosen(config: RunConfig, address: Address) -> Iterator[tuple[str, Callable[[], Log]]]:
    """The places that a configuration names, each with the function that opens it."""
    chosen = config.logger
    if wandb := chosen.wandb:
        from lnbench.training.loggers.wandb_log import WandbLog

        yield WandbLog.title, lambda: WandbLog(config, wandb, address)
    if tensorboard := chosen.tensorboard:
        from lnbench.training.loggers.tensorboard_log import TensorboardLog

        yield TensorboardLog.title, lambda: TensorboardLog(config, tensorboard, address.folder)
    if mlflow := chosen.mlflow:
        from lnbench.training.loggers.mlflow_log import MlflowLog

        yield MlflowLog.title, lambda: MlflowLog(config, mlflow, address)


def _started(title: str, start: Callable[[], Log]) -> Log | None:
    try:
        return start()
    except Exception as error:
        warn(title, error)
        return None
