"""A run as one row of a list."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lnbench.records.files import CONFIG
from lnbench.records.listing import FoundRun, State
from lnbench.records.record import Record
from lnbench.records.setting import rates
from lnbench.records.variant import variant_of


@dataclass(frozen=True)
class RunRow:
    """The facts that a list shows about a run.

    Attributes:
        id, state, folder: identity, state and folder of the run.
        method, task, model, seed: the run's choices, or the names in the folder's path if a damaged file lacks them;
            the seed is then None.
        variant: method of a finished run with its changed settings.
        lr: learning rates of a finished run: a number, one for each part, or `searched`.
        trial: whether a finished run was never tested, as the trials of a search.
        metric, score: metric and validation score that selected a finished run's checkpoint.
        forgetting: rise of the loss on a general text in nats a token, if a finished run measured it.
        no_better: splits on which a finished run is no better than the baseline.
        baseline: name of that baseline.
        when: time at which the run finished or failed, or else was begun, in UTC.
        seconds: duration of a finished run.
        cause, message: reason of a failure, damage of a damaged run, or version that a newer run needs.
    """

    id: str
    state: State
    method: str
    task: str
    model: str
    seed: int | None
    variant: str
    lr: str
    trial: bool
    metric: str | None
    score: float | None
    forgetting: float | None
    no_better: tuple[str, ...]
    baseline: str | None
    when: str | None
    seconds: float | None
    cause: str | None
    message: str | None
    folder: str


def row_of(run: FoundRun) -> RunRow:
    """The row of one run."""
    task, model, method, run_id = run.folder.parts[-4:]
    record, failure = run.record, run.failure
    variant, lr = _settings(record) if record else ("", "")
    trial = record is not None and "test" not in record.metrics
    seed = record.seed if record else run.config.get("seed")
    return RunRow(
        id=run_id,
        state=run.state,
        method=record.method if record else method,
        task=record.task if record else name_in(run.config, "task") or task,
        model=record.model if record else name_in(run.config, "model") or model,
        seed=seed if isinstance(seed, int) else None,
        variant=variant,
        lr=lr,
        trial=trial,
        metric=record.selection.metric if record else None,
        score=record.score if record else None,
        forgetting=record.retention.forgetting if record and record.retention else None,
        no_better=record.no_better if record else (),
        baseline=record.baseline_name if record else None,
        when=record.finished_at if record else failure.failed_at if failure else _begun(run.folder),
        seconds=record.cost.total_seconds if record else None,
        cause=failure.cause if failure else None,
        message=failure.message if failure else run.problem or None,
        folder=str(run.folder),
    )


def _settings(record: Record) -> tuple[str, str]:
    """The variant and the learning rates of a run."""
    try:
        return variant_of(record.method, record.config.get("method")), rates(record)
    except Exception:  # the settings of a record may come from anyone
        return record.method, ""


def name_in(config: dict[str, Any], group: str) -> str:
    """The name of a task or model in a configuration of any origin; empty if it has none."""
    settings = config.get(group)
    name = settings.get("name") if isinstance(settings, dict) else None
    return name if isinstance(name, str) else ""


def flat(values: Any, prefix: str = "") -> dict[str, Any]:
    """The leaves of nested dictionaries by dotted name. Lists and empty dictionaries are leaves."""
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
