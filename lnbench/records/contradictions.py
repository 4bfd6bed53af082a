"""Finds contradictions within a run, without doing it again."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from math import isclose, isnan, nan

from lnbench.config.retention import RetentionConfig
from lnbench.config.run import validate_saved
from lnbench.core.schema import ConfigError
from lnbench.records.files import METRICS
from lnbench.records.packed import PackedRun, history_rows
from lnbench.records.packing import check_identity
from lnbench.records.record import Record, RecordError
from lnbench.records.setting import leaves
from lnbench.tasks.base import Task

ROUNDING = 1e-12
"""Largest difference between a score and the score that the same answers give on any machine."""


def contradictions(run: PackedRun) -> Iterator[str]:
    """Each contradiction within a run, which may come from anyone, as one line.

    The configuration is compared with the identity, the scores with the answers on the test rows and with the history,
    and the searched setting with what the search chose.
    """
    record = run.record
    try:
        check_identity(record)
        config = validate_saved(record.config)
    except (RecordError, ConfigError) as error:
        yield str(error).removeprefix(f"run {record.id}: ")
        return
    if hashlib.sha256(run.history.encode()).hexdigest() != record.files.get(METRICS):
        yield f"history is not the {METRICS} of the run"
    if not _is_history(rows := history_rows(run.history)):
        yield "history is no table of numbers by step"
        return
    yield from _selection(record, rows)
    yield from _scores(run, config.task)
    yield from _search(record)
    yield from _retention(record, config.retention)


def is_close(one: float, other: float, tolerance: float) -> bool:
    """Whether two scores differ by no more than a tolerance, which is relative to the larger one if that is above 1."""
    return (isnan(one) and isnan(other)) or isclose(one, other, rel_tol=tolerance, abs_tol=tolerance)


def _is_history(rows: Sequence[Mapping[str, str]]) -> bool:
    """Whether all values are numbers, and each row has a step."""
    try:
        for row in rows:
            int(row["step"])
            [float(value) for value in row.values() if value]
    except (KeyError, TypeError, ValueError):
        return False
    return True


def _selection(record: Record, rows: Sequence[Mapping[str, str]]) -> Iterator[str]:
    metric = record.selection.metric
    recorded = repr(record.metrics.get("validation", {}).get(metric))
    validated = [row[f"validation/{metric}"] for row in rows if row.get(f"validation/{metric}")]
    if recorded != repr(record.selection.score) or (validated and recorded not in validated):
        yield f"validation/{metric} = {recorded} is not the score by which the checkpoint was selected"


def _scores(run: PackedRun, task: Task) -> Iterator[str]:
    if "test" not in run.record.metrics:
        return
    rows = run.record.data.rows.get("test")
    if wrong := [name for name in task.numbers([]) if len(run.numbers.get(name, [])) != rows]:
        yield f"it was tested on {rows} rows, and does not have the {' and the '.join(wrong)} of each"
        return
    try:
        scores = task.score_numbers(run.numbers)
    except ImportError:
        raise
    except Exception as error:  # such as from an answer that is no label of the task
        yield f"its answers cannot be understood ({type(error).__name__}: {error})"
        return
    for name, value in scores.items():
        told = run.record.metrics["test"].get(name)
        if not is_close(value, nan if told is None else told, ROUNDING):
            yield f"test/{name} = {told} recorded, and {value} by the recorded answers"


def _search(record: Record) -> Iterator[str]:
    if record.search:
        used = dict(leaves(record.config)).get(record.search.parameter)
        if used != record.search.chosen:
            yield f"{record.search.parameter} = {used} is configured, but the search chose {record.search.chosen}"


def _retention(record: Record, asked: RetentionConfig) -> Iterator[str]:
    """A loss on a general text belongs to a run that names one. It is over no more tokens than are asked for."""
    found = record.retention
    if asked.is_on != bool(found):
        yield (
            "retention is configured, but not recorded" if asked.is_on else "retention is recorded, but not configured"
        )
    elif found and not (0 < found.tokens <= asked.tokens and min(found.before, found.after) >= 0):
        yield f"retention = {found.before} before and {found.after} after, over {found.tokens} tokens, cannot be"
