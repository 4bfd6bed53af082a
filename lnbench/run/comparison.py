"""Compares a published run with a replay of it."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from lnbench.records.contradictions import is_close
from lnbench.records.files import ADAPTER
from lnbench.records.packed import PackedRun, history_rows
from lnbench.records.record import Record
from lnbench.records.setting import leaves

TOLERANCE = 0.02
"""Largest difference of scores, relative to the score if that is above 1, and largest share of test rows with another
answer, between machines that do not compute alike. docs/results.md says how it was measured."""
MACHINE = ("cpu", "cpu_model", "cpu_capability", "threads", "device", "devices", "gpu", "precision", "runs_together")
"""Properties of the hardware on which the last digits depend."""
NUMERIC = ("torch", "transformers", "pytorch-lightning", "datasets", "scikit-learn", "tokenizers", "numpy")
"""Packages on which the last digits depend."""


def unlike(recorded: Record, replayed: Record) -> list[str]:
    """How the machine and the versions of a replay differ from those of a run, as far as last digits depend on them."""
    facts = [
        ("hardware", MACHINE, recorded.hardware, replayed.hardware),
        ("version of", NUMERIC, recorded.versions, replayed.versions),
    ]
    return [
        f"{kind} {name}: {then.get(name)}, here {now.get(name)}"
        for kind, names, then, now in facts
        for name in names
        if name in then and name in now and then[name] != now[name]
    ]


def differences(recorded: PackedRun, replayed: PackedRun, same_place: bool) -> list[str]:
    """Every number that is not the same to the last bit, with both values.

    Times and what depends on them are left out. Files that only the run's folder has are compared by their checksums.

    Args:
        recorded: published run.
        replayed: replay of it.
        same_place: whether the model has the same `source` in both. It stands in the adapter file, too.
    """
    left_out = () if same_place else (ADAPTER,)
    return _told(*(_numbers(run, left_out) for run in (recorded, replayed)))


def first_differences(recorded: str, replayed: str, steps: int) -> list[str]:
    """Every value of two histories that is not the same to the last bit, up to a step.

    Args:
        recorded: text of a metrics.csv.
        replayed: another one, which may end after the step.
        steps: the step.
    """
    return _told(*(_history(text, steps) for text in (recorded, replayed)))


def is_near(recorded: PackedRun, replayed: PackedRun) -> bool:
    """Whether scores, and losses on a general text, differ by no more than other machines do."""
    scores = [dict(leaves({**run.record.metrics, **_retention(run.record)})) for run in (recorded, replayed)]
    if scores[0].keys() != scores[1].keys():
        return False
    return all(is_close(value, scores[1][name], TOLERANCE) for name, value in scores[0].items()) and _answers_near(
        recorded.numbers.get("answer", []), replayed.numbers.get("answer", [])
    )


def histories_near(recorded: str, replayed: str, steps: int) -> bool:
    """Whether losses and scores up to a step differ by no more than other machines do."""
    sides = [_history(text, steps) for text in (recorded, replayed)]
    return sides[0].keys() == sides[1].keys() and all(
        is_close(float(value), float(sides[1][name]), TOLERANCE) for name, value in sides[0].items()
    )


def _answers_near(recorded: list[Any], replayed: list[Any]) -> bool:
    if any(isinstance(answer, float) for answer in recorded):
        return True  # numbers, which the scores compare
    other = sum(one != another for one, another in zip(recorded, replayed, strict=False))
    return len(recorded) == len(replayed) and other <= TOLERANCE * len(recorded)


def _numbers(run: PackedRun, left_out: Sequence[str]) -> dict[str, Any]:
    record = run.record
    whole = {
        "metrics": record.metrics,
        "baseline": record.baseline,
        "parameters": record.parameters.model_dump(),
        "data": record.data.model_dump(),
        "steps": record.cost.steps,
        **_retention(record),
        "shift": {
            f"layer {one.layer} {one.norm} {one.term}": {
                name: value for name, value in one if name in ("mean_abs", "max_abs", "relative")
            }
            for one in record.shift
        },
        "numbers": {name: dict(enumerate(values)) for name, values in run.numbers.items()},
        "checksum of": {name: digest[:12] for name, digest in record.files.items() if name not in left_out},
    }
    nested = {name: value for name, value in whole.items() if value}
    return {**_history(run.history), **{_plain(name): repr(value) for name, value in leaves(_texts(nested))}}


def _retention(record: Record) -> dict[str, Any]:
    return {"retention": record.retention.model_dump()} if record.retention else {}


def _texts(value: Any) -> Any:
    return {str(name): _texts(one) for name, one in value.items()} if isinstance(value, Mapping) else value


def _plain(name: str) -> str:
    return name.removeprefix("metrics.")


def _history(text: str, steps: float = math.inf) -> dict[str, Any]:
    """Each value of a metrics.csv, by column and step."""
    return {
        f"{name} at step {row['step']}": value
        for row in history_rows(text)
        if int(row["step"]) <= steps
        for name, value in row.items()
        if value and name not in ("epoch", "step")
    }


def _told(recorded: Mapping[str, Any], replayed: Mapping[str, Any]) -> list[str]:
    return [
        f"{name} = {recorded.get(name)} recorded, {replayed.get(name)} replayed"
        for name in dict.fromkeys([*recorded, *replayed])
        if recorded.get(name) != replayed.get(name)
    ]
