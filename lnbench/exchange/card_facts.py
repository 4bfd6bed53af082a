"""Texts of a model card that are derived from the record."""

import json
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean

from lnbench.config.run import RunConfig
from lnbench.core.escape import code
from lnbench.core.words import number_of
from lnbench.exchange.card_metadata import base_model
from lnbench.exchange.peft_format import EXPORTERS
from lnbench.methods.base import folding
from lnbench.records.commands import command_lines, missing_runs
from lnbench.records.record import Record, Retention, SearchResult
from lnbench.records.variant import KINDS, all_changes
from lnbench.tasks.base import Task
from lnbench.tasks.data.split import SWAPPED
from lnbench.tasks.scores.metric import Metric, written

TERMS = {"gain": "gains", "bias": "biases"}


def scores(record: Record) -> Iterator[tuple[str, list[str]]]:
    """Each metric with three values: validation, test, and the baseline on the test split.

    A value that does not exist is an empty text.
    """
    found = [record.metrics.get("validation", {}), record.metrics.get("test", {}), record.baseline.get("test", {})]
    columns = list(map(written, found))
    for name in dict.fromkeys(name for column in columns for name in column):
        yield name, [column.get(name, "") for column in columns]


def shared(overlap: str) -> str:
    """Describes the rows that an overlap counts, by the overlap's name in the record."""
    if overlap.endswith(SWAPPED):
        return "with the texts of a pair of the first, swapped"
    return "with a value of the first in that column" if " " in overlap else "with an input of the first"


def example(task: Task) -> str:
    """The task's example input as a Python literal: a text, or a pair."""
    texts = ", ".join(map(json.dumps, task.example))
    return texts if len(task.example) == 1 else f"({texts})"


def settings_of_parts(record: Record) -> Iterator[tuple[str, str]]:
    """Each part of the method with its settings."""
    for part, values in record.config["method"].items():
        shown = (code(f"{name}={json.dumps(value)}") for name, value in values.items() if name not in KINDS)
        yield part, ", ".join(shown)


def chosen_by_search(result: SearchResult, metric: Metric) -> str:
    """The sentence on how a setting was chosen."""
    tried = ", ".join(
        f"{code(value)} ({'failed' if score is None else metric.written(score)})"
        for value, score in result.scores.items()
    )
    mean = f" (means over {result.seeds} seeds)" if result.seeds > 1 else ""
    return f"{code(result.parameter)} = {code(result.chosen)}, the best on the validation split of {tried}{mean}"


def moved(record: Record) -> str:
    """Change of the gains and biases of norms; empty if none was trained."""
    lines = []
    for term, name in TERMS.items():
        if shifts := [shift for shift in record.shift if shift.term == term]:
            mean, most = fmean(shift.mean_abs for shift in shifts), max(shift.max_abs for shift in shifts)
            lines.append(f"{name} {mean:.2g} on average, {most:.2g} at most")
    return "; ".join(lines)


def retained(found: Retention, config: RunConfig) -> str:
    """What the language model retains, and on which text that was measured."""
    text = config.retention
    place = code(text.path.name) if text.path else f"the {text.split} split of {code(text.data)}"
    return (
        f"Loss on a general text, {number_of(found.tokens, 'token')} of {place}: {found.after:.4f} nats a token, and "
        f"{found.before:.4f} before tuning ({found.forgetting:+.4f})."
    )


def trained(record: Record) -> str:
    """Numbers of parameters."""
    size = record.parameters
    parts = ", ".join(f"{code(part)} {count:,}" for part, count in size.by_part.items())
    return (
        f"{size.trained:,} parameters, {size.trained_percent:.4g}% of the backbone's {size.backbone:,} ({parts}); "
        f"the head's {size.head:,} are counted apart"
    )


def cost(record: Record) -> str:
    """Times, memory and device."""
    spent, machine = record.cost, record.hardware
    return (
        f"{spent.train_seconds:,.0f} s of training, {spent.total_seconds:,.0f} s in all, "
        f"{spent.peak_memory_bytes / 2**30:.2f} GiB at most, on {code(machine.get('gpu') or machine.get('cpu'))}"
    )


def backbone(config: RunConfig) -> str:
    """The pretrained model, and the place that it is loaded from."""
    model, base = config.model, base_model(config)
    details = [
        f"{name} {code(value)}" for name, value in (("revision", model.revision), ("file", model.gguf_file)) if value
    ]
    if base is None:
        details.append("which has to be there to load it")
    elif base != model.source:
        details.append(f"a copy of {code(base)}")
    return ", ".join([code(model.source), *details])


def data_source(config: RunConfig) -> str:
    """The place of the data."""
    task = config.task
    if task.path or task.source is None:
        files = ", ".join(f"{role} {code(digest)}" for role, digest in task.content.items())
        return f"files of one's own, by SHA-256: {files}"
    places = [f"the folder {code(task.source.folder)}"] if config.data_root else []
    if package := task.source.package:
        places.append(f"{code(package.file)} in the Python package {code(package.name)}")
    if hub := task.source.hub:
        places.append(" ".join([f"{code(hub.id)} on the hub", *([f"({code(hub.config)})"] if hub.config else [])]))
    return ", or else ".join(places)


def labels(config: RunConfig) -> str:
    """The labels of a classifier; empty for other tasks."""
    return ", ".join(map(code, getattr(config.task, "labels", [])))


def folds(record: Record, config: RunConfig) -> bool:
    """Whether all inserted parameters can be folded into the pretrained weights, whether these have biases or not."""
    names = [name for name in folding(config.method) if not config.method[name].shifts]
    return record.parameters.inserted == sum(record.parameters.by_part.get(name, 0) for name in names)


def has_peft_format(record: Record) -> bool:
    """Whether HF peft supports the method."""
    return record.method in EXPORTERS


def repeat_command(record: Record) -> str:
    """The command that does the run again, into the folder `runs`."""
    changed = all_changes(record.config["method"])
    runs = missing_runs(record.method, changed, {record.task: record}, [record.seed], Path("runs"))
    return "\n".join(command_lines(runs))
