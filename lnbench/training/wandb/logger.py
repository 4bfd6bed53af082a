"""Logs a run to Weights & Biases, if the run asks for it.

Errors of W&B never stop a run. A run that continues from a checkpoint continues the same W&B run. Offline, each process
of the run has its own folder, and `wandb sync RUN_DIR/wandb` sends the folders in order and joins them.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shlex
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytorch_lightning.loggers import WandbLogger
from rich.console import Console

from lnbench.config.run import RunConfig, WandbConfig
from lnbench.core.interruption import RunInterrupted
from lnbench.core.names import plain_name
from lnbench.records.files import RESUME
from lnbench.records.identity import run_id
from lnbench.records.record import Record

if TYPE_CHECKING:
    from wandb import Run

STEP = "trainer/global_step"
"""Number of optimiser steps, under the name that `WandbLogger` gives it. It is the x-axis of all curves."""
TAG_LENGTH, NAME_LENGTH = 64, 128
"""Longest tag, and longest name of a run or a group, that W&B accepts."""
FINISH_SECONDS = 600
"""Seconds that the end of a run waits for uploads. The rest can be sent with `wandb sync`."""
SUCCEEDED, FAILED, INTERRUPTED = 0, 1, 130

log = logging.getLogger(__name__)


def place_of(url: str | None, folder: Path) -> str:
    """The address of a run at Weights & Biases, or the command that uploads the run from `folder`."""
    return url or shlex.join(["wandb", "sync", str(folder)])


class RunLogger(WandbLogger):
    """Logs a run to W&B. An error of W&B is shown once and stops nothing."""

    def __init__(self, run: Run, predictions: int) -> None:
        """
        Args:
            run: W&B run that has just been started.
            predictions: largest number of test predictions to upload.
        """
        super().__init__(experiment=run)
        self.run = run
        self._predictions = predictions
        self._told = False

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Adds points to the curves."""
        self._try(super().log_metrics, metrics, step)

    def log_results(self, record: Record, folder: Path) -> None:
        """Adds the results of a finished run, whose files are in `folder`."""
        from lnbench.training.wandb import results as results

        steps = record.cost.steps
        self._try(lambda: self.run.summary.update(results.summary_values(record)))
        self._try(lambda: self.run.log_artifact(results.adapter_artifact(record, folder)))
        if record.shift:
            self._try(lambda: self.log_metrics(results.shift_charts(record.shift), steps))
        if self._predictions and "test" in record.metrics:
            self._try(
                lambda: self.log_metrics({"predictions": results.predictions_table(folder, self._predictions)}, steps)
            )

    def close(self, exit_code: int, folder: Path) -> None:
        """Ends the W&B run and prints its address. W&B shows an interrupted run, which can continue, as preempted."""
        if exit_code == INTERRUPTED:
            self._try(self.run.mark_preempting)
        self._try(self.run.finish, exit_code)
        self._try(self._announce, folder)

    def _announce(self, folder: Path) -> None:
        if not self.run.disabled:
            place = place_of(None if self.run.offline else self.run.url, folder / "wandb")
            Console(highlight=False).print(f"W&B       {place}", soft_wrap=True, markup=False)

    def _try(self, action: Callable[..., object], *arguments: object) -> None:
        try:
            action(*arguments)
        except Exception as error:
            if not self._told:
                _warn(error)
            self._told = True


@contextlib.contextmanager
def open_logger(config: RunConfig, folder: Path) -> Iterator[RunLogger | None]:
    """The run's W&B logger, always closed at the end; None if the run asks for none or W&B does not start."""
    logger = _open(config, config.logger.wandb, folder) if config.logger.wandb else None
    if logger is None:
        yield None
        return
    exit_code = FAILED
    try:
        yield logger
        exit_code = SUCCEEDED
    except (RunInterrupted, KeyboardInterrupt):
        exit_code = INTERRUPTED
        raise
    finally:
        logger.close(exit_code, folder)


def _open(config: RunConfig, settings: WandbConfig, folder: Path) -> RunLogger | None:
    try:
        return RunLogger(_start(config, settings, folder), settings.predictions)
    except Exception as error:
        _warn(error)
        return None


def _start(config: RunConfig, settings: WandbConfig, folder: Path) -> Run:
    """Starts the W&B run, with the run's identity as its id; continues it if training continues."""
    import wandb

    task = plain_name(config.task.name)
    run = wandb.init(
        id=run_id(config),
        name=f"{config.method_name}-{task}-{config.seed}"[:NAME_LENGTH],
        group=f"{config.method_name}/{task}"[:NAME_LENGTH],
        tags=_tags(config),
        project=settings.project,
        entity=settings.entity,
        dir=folder,
        mode=_mode(settings.mode),
        config=config.to_dict(),
        resume="allow" if (folder / RESUME).is_file() else None,
        reinit="create_new",
        settings=wandb.Settings(finish_timeout=FINISH_SECONDS, quiet=True),
    )
    run.define_metric(STEP)
    run.define_metric("*", step_metric=STEP, step_sync=True)
    return run


def _tags(config: RunConfig) -> list[str]:
    names = (*config.method, config.task.name, config.model.name, f"seed-{config.seed}")
    return list(dict.fromkeys(name[:TAG_LENGTH] for name in names))


def _mode(mode: str) -> Any:
    """W&B's name of the mode. `auto` follows $WANDB_MODE; without that, it depends on whether there is an API key."""
    import wandb

    if mode != "auto":
        return mode
    return os.environ.get("WANDB_MODE") or ("online" if wandb.login(prompt=False, verify=False) else "offline")


def _warn(error: Exception) -> None:
    log.warning("W&B: %s: %s; the run goes on", type(error).__name__, error)
