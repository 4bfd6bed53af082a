"""A run in one line."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lnbench.records.files import CONFIG
from lnbench.records.listing import FoundRun, State


@dataclass(frozen=True)
class Row:
    """What a list of runs tells of each.

    Attributes:
        id, state, folder: of the run.
        method, task, model, seed: what was run; None where a damaged file does not tell, or the name of the folder.
        metric, score: of the validation by which a finished run's checkpoint was selected.
        when: it finished or failed, else was begun, in UTC.
        seconds: that a finished run took.
        cause, message: why it failed, what is wrong with a damaged run, or what a newer one needs.
    """

    id: str
    state: State
    method: str
    task: str
    model: str
    seed: int | None
    metric: str | None
    score: float | None
    when: str | None
    seconds: float | None
    cause: str | None
    message: str | None
    folder: str


def row_of(run: FoundRun) -> Row:
    """The row of one run."""
    task, model, method, run_id = run.folder.parts[-4:]
    record, failure = run.record, run.failure
    seed = record.seed if record else run.config.get("seed")
    return Row(
        id=run_id,
        state=run.state,
        method=record.method if record else method,
        task=record.task if record else name_in(run.config, "task") or task,
        model=record.model if record else name_in(run.config, "model") or model,
        seed=seed if isinstance(seed, int) else None,
        metric=record.selection.metric if record else None,
        score=record.score if record else None,
        when=record.finished_at if record else failure.failed_at if failure else _begun(run.folder),
        seconds=record.cost.total_seconds if record else None,
        cause=failure.cause if failure else None,
        message=failure.message if failure else run.problem or None,
        folder=str(run.folder),
    )


def name_in(config: dict[str, Any], group: str) -> str:
    """The name of a task or model, as a configuration of any origin has it; empty where it has none."""
    settings = config.get(group)
    name = settings.get("name") if isinstance(settings, dict) else None
    return name if isinstance(name, str) else ""


def flat(values: Any, prefix: str = "") -> dict[str, Any]:
    """The leaves of nested dictionaries by dotted name; lists, and dictionaries without entries, are leaves."""
    if not isinstance(values, dict) or not values:
        return {prefix: values}
    leaves: dict[str, Any] = {}
    for name, value in values.items():
        leaves |= flat(value, f"{prefix}.{name}" if prefix else str(name))
    return leaves


def _begun(folder: Path) -> str | None:
    try:
        seconds = (folder / CONFIG).stat().st_mtime
    except OSError:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
