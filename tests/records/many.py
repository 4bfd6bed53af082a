"""Folders of runs that nobody has to wait for."""

import json
from pathlib import Path
from typing import Any

from lnbench.config.run import RunConfig
from lnbench.records.files import ADAPTER, CONFIG
from lnbench.records.identity import run_dir, run_id
from lnbench.records.record import Record, write_record
from tests.records.builders import new_record


def begin(config: RunConfig) -> Path:
    """Leaves what a run leaves that has only begun."""
    folder = run_dir(config)
    folder.mkdir(parents=True)
    (folder / CONFIG).write_text(json.dumps(config.to_dict()))
    return folder


def finish(config: RunConfig, **changes: Any) -> Record:
    """Leaves what a finished run leaves, with made-up numbers."""
    folder = begin(config)
    record = new_record(
        id=run_id(config),
        method=config.method_name,
        task=config.task.name,
        model=config.model.name,
        seed=config.seed,
        config=config.to_dict(),
        **changes,
    )
    (folder / ADAPTER).write_bytes(bytes(1_000))
    write_record(record, folder)
    return record


def finish_many(config: RunConfig, count: int) -> None:
    """Leaves `count` finished runs that differ in their seeds."""
    for seed in range(count):
        finish(config.model_copy(update={"seed": seed}))
