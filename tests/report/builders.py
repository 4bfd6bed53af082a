"""Finished runs with given scores, as a report reads them."""

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from lnbench.config.compose import compose_config, to_plain
from lnbench.config.run import validate
from lnbench.records.record import Cost, Parameters, Record, Selection, write_record
from lnbench.records.variant import configured
from lnbench.report.load import Loaded
from tests.records.builders import new_record

TRAINED = {
    "ln": 9_216,
    "bitfit": 25_344,
    "prefix": 101_376,
    "adapter": 103_812,
    "mha_adapter": 103_812,
    "full": 22_713_216,
}


def finished(
    method: str = "ln",
    task: str = "rte",
    seed: int = 0,
    score: float = 0.5,
    settings: Mapping[str, Any] | None = None,
    config: Mapping[str, Any] | None = None,
    cost: Mapping[str, Any] | None = None,
    **changes: Any,
) -> Record:
    """A finished run with the shipped configuration of MiniLM, its settings changed, and a test score.

    Args:
        method: parts joined by `+`.
        task: a shipped one.
        seed: of the run.
        score: on the test split; the validation score is larger by 0.01.
        settings: of the method, by dotted name.
        config: other settings, by dotted name.
        cost: changed costs.
        changes: other fields of the record.
    """
    parts = configured(method, settings or {})
    name = "+".join(sorted(parts))
    whole = _config(task, tuple(f"{key}={value}" for key, value in (config or {}).items())) | {
        "method": parts,
        "seed": seed,
    }
    trained = sum(TRAINED.get(part, 1_000) for part in parts)
    metric, mode = whole["task"]["metric"], whole["task"]["mode"]
    fields: dict[str, Any] = {
        "id": hashlib.sha256(json.dumps([whole, changes], default=str).encode()).hexdigest()[:12],
        "method": name,
        "task": task,
        "model": whole["model"]["name"],
        "seed": seed,
        "selection": Selection(metric=metric, mode=mode, score=score + 0.01),
        "metrics": {"validation": {metric: score + 0.01}, "test": {metric: score}},
        "baseline": {},
        "parameters": Parameters(
            backbone=22_713_216,
            trained=trained,
            trained_percent=100 * trained / 22_713_216,
            inserted=0,
            by_part={part: TRAINED.get(part, 1_000) for part in parts},
            head=770,
        ),
        "cost": Cost(**{**dict(new_record().cost), **(cost or {})}),
        "config": whole,
    }
    return new_record(**{**fields, **changes})


def loaded(*records: Record, runs_dir: Path = Path("runs")) -> Loaded:
    """What `load` returns for a folder of these runs."""
    folders = {record.id: folder_of(record, runs_dir) for record in records}
    return Loaded(runs_dir, list(records), folders, [], [])


def save(*records: Record, runs_dir: Path) -> None:
    """Writes records to where `load` finds them."""
    for record in records:
        write_record(record, folder_of(record, runs_dir))


def folder_of(record: Record, runs_dir: Path) -> Path:
    """Where a run lies."""
    return runs_dir / record.task / record.model / record.method / record.id


@cache
def _config(task: str, overrides: tuple[str, ...]) -> dict[str, Any]:
    return validate(to_plain(compose_config(f"task={task}", "method=ln", *overrides))).to_dict()
