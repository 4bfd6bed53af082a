"""Logs a run to Weights & Biases.

A run that continues from a checkpoint continues the same W&B run. Offline, each process of the run has its own folder,
and `wandb sync RUN_DIR/wandb` sends the folders in order and joins them.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytorch_lightning.loggers import WandbLogger

from lnbench.config.run import RunConfig, WandbConfig
from lnbench.records.files import RESUME
from lnbench.records.identity import Address
from lnbench.records.record import Record
from lnbench.training.loggers.log import INTERRUPTED, Log, group_of, run_name, summary_values

if TYPE_CHECKING:
    from wandb import Run

STEP = "trainer/global_step"
"""Number of optimiser steps, under the name that `WandbLogger` gives it. It is the x-axis of all curves."""
TAG_LENGTH, NAME_LENGTH = 64, 128
"""Longest tag, and longest name of a run or a group, that W&B accepts."""
FINISH_SECONDS = 600
"""Seconds that the end of a run waits for uploads. The rest can be sent with `wandb sync`."""


def place_of(url: str | None, folder: Path) -> str:
    """The address of a run at Weights & Biases, or the command that uploads the run from `folder`."""
    return url or shlex.join(["wandb", "sync", str(folder)])


class WandbLog(Log):
    """A run at W&B, with its adapter as an artifact and the first test predictions as a table."""

    title = "W&B"

    def __init__(self, config: RunConfig, settings: WandbConfig, address: Address) -> None:
        """Starts the W&B run; continues it if training continues.

        Args:
            config: configuration of the run.
            settings: where it is logged.
            address: address of the run.
        """
        super().__init__()
        self.run = _start(config, settings, address)
        self._logger = WandbLogger(experiment=self.run)
        self._predictions = settings.predictions

    def log_metrics(self, metrics: Mapping[str, Any], step: int) -> None:
        """Adds points to the curves."""
        self._logger.log_metrics(metrics, step)

    def log_results(self, record: Record, folder: Path) -> None:
        """Adds the results of a finished run. If one fails, the others are still sent."""
        from lnbench.training.loggers import wandb_results as results

        steps = record.cost.steps
        self.attempt(lambda: self.run.summary.update(summary_values(record)))
        self.attempt(lambda: self.run.log_artifact(results.adapter_artifact(record, folder)))
        if record.shift:
            self.attempt(lambda: self.log_metrics(results.shift_charts(record), steps))
        if self._predictions and "test" in record.metrics:
            self.attempt(
                lambda: self.log_metrics({"predictions": results.predictions_table(folder, self._predictions)}, steps)
            )

    def close(self, exit_code: int, folder: Path) -> None:
        """Ends the W&B run and prints its address. W&B shows an interrupted run, which can continue, as preempted."""
        if exit_code == INTERRUPTED:
            self.attempt(self.run.mark_preempting)
        self.attempt(self.run.finish, exit_code)
        if not self.run.disabled:
            self.announce(place_of(None if self.run.offline else self.run.url, folder / "wandb"))


def _start(config: RunConfig, settings: WandbConfig, address: Address) -> Run:
    """Starts the W&B run, with the run's identity as its id; continues it if training continues."""
    import wandb

    run = wandb.init(
        id=address.id,
        name=run_name(config)[:NAME_LENGTH],
        group=group_of(config)[:NAME_LENGTH],
        tags=_tags(config),
        project=settings.project,
        entity=settings.entity,
        dir=address.folder,
        mode=_mode(settings.mode),
        config=config.to_dict(),
        resume="allow" if (address.folder / RESUME).is_file() else None,
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
