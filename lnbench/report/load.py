"""The finished runs of a folder, as a table with one row for each run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lnbench.core.escape import printable
from lnbench.core.words import number_of
from lnbench.records.listing import FoundRun, find_runs
from lnbench.records.record import Record
from lnbench.records.setting import check_settings, key_of, rates, settings
from lnbench.records.variant import with_code
from lnbench.tasks.scores.metric import metric_of

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Loaded:
    """The contents of a folder of runs.

    Attributes:
        runs_dir: folder of the runs; the first one of several.
        others: the other ones.
        records: records of the finished runs, without the trials of searches.
        folders: folder of each of these runs, by id.
        trials: records of the trials of searches, which never saw the test split.
        problems: runs that are not finished, or have an unusable record, with the reasons. A run counts as finished if
            a packed file in its folder of runs has it.
    """

    runs_dir: Path
    records: list[Record]
    folders: dict[str, Path]
    trials: list[Record]
    problems: list[FoundRun]
    others: tuple[Path, ...] = ()

    def by_place(self) -> dict[Path, list[Record]]:
        """The records of the finished runs in each folder of runs."""
        places: dict[Path, list[Record]] = {place: [] for place in (self.runs_dir, *self.others)}
        for record in self.records:
            folder = self.folders[record.id]
            places[next((one for one in places if folder.is_relative_to(one)), self.runs_dir)].append(record)
        return places


def load_runs(runs_dir: Path, *others: Path) -> Loaded:
    """Reads all runs below a folder. An unreadable file is listed as a problem and raises no error.

    Args:
        runs_dir: folder of runs, or packed file.
        others: further ones, such as the published results. A run that is in several is read from the first.
    """
    loaded = Loaded(runs_dir, [], {}, [], [], others)
    known: set[str] = set()
    shared: dict[bytes, Any] = {}
    for place in (runs_dir, *others):
        finished, problems = set[str](), list[FoundRun]()
        for found in map(checked, find_runs(place, remember=True)):
            if found.record is None:
                problems.append(found)
                continue
            finished.add(found.id)
            if found.id in known:
                continue
            known.add(found.id)
            if "test" not in found.record.metrics:
                loaded.trials.append(_sharing(found.record, shared))
            else:
                loaded.records.append(_sharing(found.record, shared))
                loaded.folders[found.record.id] = found.folder
        loaded.problems.extend(one for one in problems if one.state not in UNFINISHED or one.id not in finished)
        known.update(one.id for one in problems)
    return replace(loaded, records=with_data(loaded.records))


def with_data(records: list[Record]) -> list[Record]:
    """The records. Published ones get the user's folder of data sets, so that commands can do further runs."""
    roots = {root for record in records if (root := record.config.get("data_root"))}
    if len(roots) != 1:
        return records
    (root,) = roots
    return [
        record
        if record.config.get("data_root")
        else record.model_copy(update={"config": {**record.config, "data_root": root}})
        for record in records
    ]


def frame(records: Sequence[Record]) -> pd.DataFrame:
    """A table with one row for each run.

    `score` is the test score and `validation_score` the validation score, by the metric that selected the
    checkpoint. Scores can be averaged or compared if they have the same `unit`. `no_better` says whether the run is
    no better than its input-free baseline, `baseline` is the name of that baseline, and `baseline_score` its test
    score. `forgetting` is the rise of the loss on a general text in nats a token, NaN if it was not measured.
    `variant` is the method with its changed settings, `lr` the learning rates, and `setting` all other differences
    between these runs. Runs are repetitions of each other if they agree in all three. `num_layers` is the number of
    layers of the model; 0 if its runs do not show it.
    """
    import pandas as pd

    others = settings(records)
    runs = pd.DataFrame(
        [values_of(*row) for row in zip(records, others, with_code(records), strict=True)], columns=COLUMNS
    )
    runs["num_layers"] = runs.groupby("model")["num_layers"].transform("max")
    return runs


def told(found: FoundRun) -> str:
    """One line on a run that is not finished, with its state, folder and problem."""
    return printable(f"{found.state:<12} {found.folder}{f': {found.reason}' if found.reason else ''}")


def hardware_of(record: Record) -> str:
    """The hardware of a run, as far as times depend on it."""
    hardware = record.hardware
    gpu = hardware.get("device") == "gpu"
    chip = hardware.get("gpu" if gpu else "cpu", "unknown")
    devices, threads, together = (hardware.get(name) for name in ("devices", "threads", "runs_together"))
    size = number_of(devices, "device") if gpu and devices not in (None, 1) else ""
    if not gpu:
        size = number_of(threads, "thread") if threads else "unknown number of threads"
    others = f"{together} runs together" if together not in (None, 1) else ""
    return ", ".join(filter(None, [str(chip), size, others, hardware.get("precision", "")]))


UNFINISHED = ("failed", "interrupted", "running")
"""States that do not matter for a run that a packed file beside its folder has finished."""
ALIKE = ("versions", "hardware", "baseline")
"""Fields of a record that are equal for many runs, like the groups of its configuration."""
COLUMNS = [
    "id",
    "method",
    "variant",
    "task",
    "model",
    "seed",
    "setting",
    "lr",
    "metric",
    "mode",
    "unit",
    "score",
    "validation_score",
    "no_better",
    "baseline",
    "baseline_score",
    "forgetting",
    "trained",
    "trained_percent",
    "inserted",
    "head",
    "train_seconds",
    "total_seconds",
    "train_samples_per_second",
    "test_samples_per_second",
    "train_samples",
    "train_joules",
    "waited",
    "peak_memory_bytes",
    "steps",
    "device",
    "hardware",
    "finished_at",
    "num_layers",
]


def values_of(record: Record, setting: str = "", variant: str = "") -> dict[str, Any]:
    """The values of a run in `frame`, but for what other runs decide: the setting, the variant and the layers."""
    own = {
        "variant": variant,
        "setting": setting,
        "lr": rates(record),
        "metric": record.selection.metric,
        "mode": record.selection.mode,
        "score": record.metrics.get("test", {}).get(record.selection.metric, nan),
        "unit": metric_of(record.selection.metric, record.selection.mode).unit_on(record.task),
        "validation_score": record.selection.score,
        "no_better": bool(record.no_better),
        "baseline": record.baseline_name,
        "baseline_score": record.baseline.get("test", {}).get(record.selection.metric, nan),
        "forgetting": record.retention.forgetting if record.retention else nan,
        "waited": record.cost.waited,
        "device": record.hardware.get("device", "unknown"),
        "hardware": hardware_of(record),
        "num_layers": _num_layers(record),
    }
    values = {**vars(record), **vars(record.parameters), **vars(record.cost), **own}
    return {column: values[column] for column in COLUMNS}


def _num_layers(record: Record) -> int:
    shape = (record.config.get("model") or {}).get("shape") or {}
    return max([int(shape.get("num_hidden_layers", 0)), *(shift.layer for shift in record.shift)])


def checked(found: FoundRun) -> FoundRun:
    """The same run, marked as damaged if its record belongs to another run or has impossible values."""
    if found.record is None or not (problem := _problem(found.record, found.id)):
        return found
    return replace(found, state="damaged", record=None, problem=problem)


def _sharing(record: Record, shared: dict[bytes, Any]) -> Record:
    """The record, with each part that equals one of an earlier record in the same memory.

    Args:
        record: record of a run.
        shared: parts of the earlier records, by `key_of` them.
    """
    config = {name: shared.setdefault(key_of(group), group) for name, group in record.config.items()}
    parts = {name: shared.setdefault(key_of(part := getattr(record, name)), part) for name in ALIKE}
    return record.model_copy(update={"config": config, **parts})


def _problem(record: Record, run_id: str) -> str:
    """The reason why a record, which may come from anyone, cannot be in a report; empty if it can."""
    if record.id != run_id:
        return f"its record belongs to another run, {record.id}"
    try:
        check_settings(record)
        values_of(record)
        with_code([record])
    except Exception as error:  # such as from a text in place of a number, or a list in place of a group
        return f"its record cannot be understood ({type(error).__name__}: {error})"
    return ""
