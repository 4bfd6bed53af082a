"""Weights & Biases, when a run asks for it."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import wandb
from pytorch_lightning.loggers import WandbLogger

from lnbench.config import RunConfig
from lnbench.records.identity import run_id


@contextlib.contextmanager
def open_logger(config: RunConfig, folder: Path) -> Iterator[WandbLogger | None]:
    """The run's W&B logger, closed in every case; None when none is asked for.

    Runs are grouped by method and task, and carry the run's identity as their id, so that a resumed
    run continues the same W&B run.
    """
    settings = config.logger.wandb
    if settings is None:
        yield None
        return
    mode = _mode(settings.mode)
    logger = WandbLogger(
        name=f"{config.method_name}-{config.task.name}-{config.seed}",
        id=run_id(config),
        group=f"{config.method_name}/{config.task.name}",
        project=settings.project,
        entity=settings.entity,
        save_dir=folder,
        mode=mode,
        config=config.to_dict(),
        resume="allow" if mode == "online" else None,
    )
    failed = True
    try:
        yield logger
        failed = False
    finally:
        wandb.finish(exit_code=int(failed))


def _mode(mode: str) -> str:
    """W&B's own name of the mode; `auto` follows $WANDB_MODE, then whether there is an API key."""
    if mode != "auto":
        return mode
    return os.environ.get("WANDB_MODE") or ("online" if wandb.login(prompt=False, verify=False) else "offline")
