"""Writes the files of a finished run."""

import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime

from lnbench.backbone.tuned_model import ParameterCount
from lnbench.config.run import RunConfig
from lnbench.core.atomic_files import write_atomically
from lnbench.core.sealed import file_digest
from lnbench.records import environment
from lnbench.records.adapter import header, save_adapter
from lnbench.records.files import ADAPTER, METRICS, PREDICTIONS
from lnbench.records.identity import PROTOCOL, Address
from lnbench.records.record import Cost, DataSeen, Parameters, Record, Retention, SearchResult, Selection, write_record
from lnbench.records.shift import NormShift
from lnbench.tasks.data.load import TaskData
from lnbench.training.callbacks.stopwatch import Phase
from lnbench.training.device import choose_precision, count_devices, use_gpu
from lnbench.training.fit import FitResult
from lnbench.training.memory import MicroBatch


@dataclass(frozen=True, eq=False)
class Results:
    """The results of a run's work.

    Attributes:
        found: result of the configuration's search, if it has one.
        data: data of the run.
        count: sizes of the model.
        shift: change of the norms.
        outcome: result of training and testing.
        peak_memory_bytes: largest memory of training and testing.
        retention: loss on a general text before and after tuning, if the run measures it.
        micro_batch: pieces in which batches were processed.
        started: start of the run's first process.
        seconds: time taken by all processes of the run.
    """

    found: SearchResult | None
    data: TaskData
    count: ParameterCount
    shift: list[NormShift]
    outcome: FitResult
    peak_memory_bytes: int
    retention: Retention | None
    micro_batch: MicroBatch
    started: datetime
    seconds: float


def write_results(config: RunConfig, address: Address, results: Results) -> Record:
    """Writes the adapter, then the predictions, and last the record. The card and other displays come later.

    Raises:
        OSError: a file cannot be written.
    """
    folder = address.folder
    save_adapter(results.outcome.state, header(config), folder)
    if config.test:
        lines = (json.dumps(prediction, ensure_ascii=False) + "\n" for prediction in results.outcome.predictions)
        write_atomically(folder / PREDICTIONS, "".join(lines))
    record = _record(config, address, results)
    write_record(record, folder)
    return record


def _record(config: RunConfig, address: Address, results: Results) -> Record:
    data = results.data
    return Record(
        protocol=PROTOCOL,
        id=address.id,
        method=config.method_name,
        task=config.task.name,
        model=config.model.name,
        seed=config.seed,
        search=results.found,
        selection=_selection(config, results.outcome),
        metrics=results.outcome.metrics,
        missing=config.task.missing(),
        baseline=data.baseline,
        baseline_name=config.task.baseline,
        parameters=_parameters(results.count),
        shift=results.shift,
        retention=results.retention,
        cost=_cost(results),
        data=DataSeen(fingerprint=data.fingerprint, rows=data.sizes, overlap=data.overlap),
        files={name: file_digest(address.folder / name) for name in _files(config)},
        hardware=environment.hardware() | _device(config) | {"runs_together": results.outcome.together},
        versions=environment.versions(),
        git_commit=environment.git_commit(),
        started_at=results.started.isoformat(timespec="seconds"),
        finished_at=datetime.now(UTC).isoformat(timespec="seconds"),
        config=config.to_dict(),
    )


def _files(config: RunConfig) -> list[str]:
    return [ADAPTER, METRICS, *([PREDICTIONS] if config.test else [])]


def _device(config: RunConfig) -> dict[str, str | int]:
    device = "gpu" if use_gpu(config.trainer) else "cpu"
    return {
        "device": device,
        "devices": count_devices(config.trainer),
        "precision": choose_precision(config.trainer),
    }


def _selection(config: RunConfig, outcome: FitResult) -> Selection:
    metric = config.task.metric
    return Selection(metric=metric, mode=config.task.mode, score=outcome.metrics["validation"][metric])


def _parameters(count: ParameterCount) -> Parameters:
    return Parameters(
        backbone=count.backbone,
        trained=count.trained,
        trained_percent=100 * count.trained_fraction,
        inserted=count.inserted,
        by_part=count.by_part,
        head=count.head,
    )


def _cost(results: Results) -> Cost:
    watch = results.outcome.stopwatch
    training, paced = watch.training, watch.paced
    return Cost(
        train_seconds=training.seconds,
        total_seconds=results.seconds,
        train_samples_per_second=_rate(paced.samples, paced),
        train_tokens_per_second=_rate(int(paced.tokens), paced),
        test_samples_per_second=_rate(len(results.data.test), watch.test),
        peak_memory_bytes=results.peak_memory_bytes,
        steps=results.outcome.steps,
        micro_batch_size=results.micro_batch.rows,
        halvings=results.micro_batch.halvings,
        train_samples=training.samples,
        validation_seconds=watch.validation.seconds,
        checkpoint_seconds=watch.checkpoints.seconds,
        test_seconds=watch.test.seconds,
        first_step_seconds=watch.first_step_seconds,
        train_joules=_known(training.joules, training),
        test_joules=_known(watch.test.joules, watch.test),
        train_waited_seconds=_known(training.waited, training),
    )


def _rate(count: int, part: Phase) -> float:
    return count / part.seconds if part.seconds else 0.0


def _known(measured: float, part: Phase) -> float | None:
    """What was measured of a part; None where the device or system did not tell, or where nothing was done."""
    return measured if part.seconds and not math.isnan(measured) else None
