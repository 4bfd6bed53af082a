"""The work of one run, from its configuration to its record."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path

from lnbench.backbone.loading import load_tokenizer
from lnbench.config import RunConfig
from lnbench.exchange.card import write_card
from lnbench.fsio import write_atomically
from lnbench.model import ParameterCount, TunedModel, build_model, check_length, count_parameters
from lnbench.records import environment
from lnbench.records.adapter import header, save_adapter
from lnbench.records.files import ADAPTER, CONFIG, METRICS, PREDICTIONS, RECORD, remove_checkpoints
from lnbench.records.identity import run_id
from lnbench.records.record import Cost, DataSeen, Parameters, Record, SearchResult, Selection, write_record
from lnbench.records.sealed import file_digest
from lnbench.records.shift import keep_pretrained, measure_shift
from lnbench.report import summary
from lnbench.schema import ConfigError
from lnbench.tasks.data import TaskData, load_data
from lnbench.training.device import choose_precision, count_devices, use_gpu
from lnbench.training.fit import Outcome
from lnbench.training.logger import open_logger
from lnbench.training.memory import MicroBatch, fit_within_memory
from lnbench.training.prepare import prepare


def execute(config: RunConfig, folder: Path, found: SearchResult | None = None) -> Record:
    """Tunes a model, tests its best checkpoint, and leaves a record in `folder`.

    Args:
        config: of the run.
        folder: of the run.
        found: how the search of the configuration ended, if it has one.

    Raises:
        ConfigError: this machine has not the device or precision asked for, the folder cannot be
            written, or the model cannot be had.
        DataError: the data cannot be had.
        RunInterrupted: a signal came; the same configuration goes on from the last saved state.
    """
    choose_precision(config.trainer)
    _open_folder(folder, config)
    started, clock = datetime.now(UTC), time.perf_counter()
    model, data = load(config)
    pretrained = keep_pretrained(model, config.method)
    count = count_parameters(model)
    summary.show_start(config, count, data, folder)
    with open_logger(config, folder) as logger:
        outcome, micro_batch = fit_within_memory(config, model, data, folder, logger)
        save_adapter(outcome.state, header(config), folder)
        if config.test:
            lines = (json.dumps(prediction, ensure_ascii=False) + "\n" for prediction in outcome.predictions)
            write_atomically(folder / PREDICTIONS, "".join(lines))
        record = Record(
            id=run_id(config),
            method=config.method_name,
            task=config.task.name,
            model=config.model.name,
            seed=config.seed,
            search=found,
            selection=_selection(config, outcome),
            metrics=outcome.metrics,
            missing=config.task.missing(),
            baseline=data.baseline,
            parameters=_parameters(count),
            shift=measure_shift(pretrained, outcome.state),
            cost=_cost(outcome, micro_batch, data, time.perf_counter() - clock),
            data=DataSeen(fingerprint=data.fingerprint, rows=data.sizes, overlap=data.overlap),
            files={name: file_digest(folder / name) for name in _files(config)},
            hardware=environment.hardware() | _device(config),
            versions=environment.versions(),
            git_commit=environment.git_commit(),
            started_at=started.isoformat(timespec="seconds"),
            finished_at=datetime.now(UTC).isoformat(timespec="seconds"),
            config=config.to_dict(),
        )
        if config.test:
            write_card(record, folder)
        write_record(record, folder)
        remove_checkpoints(folder)
        if logger:
            logger.log_results(record, folder)
    return record


def load(config: RunConfig) -> tuple[TunedModel, TaskData]:
    """The model of a run, ready to be trained, and its data."""
    check_length(config)
    data = load_data(config.task, load_tokenizer(config.model), config.data_root, config.cache_dir)
    model = build_model(config)
    prepare(config, model, data)
    return model, data


def _open_folder(folder: Path, config: RunConfig) -> None:
    """Makes the run's folder and saves its configuration there, before anything slow is done.

    A record that is in the way goes first, with all from which an old run could be continued.
    """
    try:
        if (folder / RECORD).is_file():
            remove_checkpoints(folder)
            (folder / RECORD).unlink()
        write_atomically(folder / CONFIG, json.dumps(config.to_dict(), indent=2) + "\n")
    except OSError as error:
        raise ConfigError(
            f"runs_dir = {str(config.runs_dir)!r}: cannot be written ({error.strerror}); choose another runs_dir=FOLDER"
        ) from error


def _files(config: RunConfig) -> list[str]:
    return [ADAPTER, METRICS, *([PREDICTIONS] if config.test else [])]


def _device(config: RunConfig) -> dict[str, str | int]:
    device = "gpu" if use_gpu(config.trainer) else "cpu"
    return {
        "device": device,
        "devices": count_devices(config.trainer),
        "precision": choose_precision(config.trainer),
    }


def _selection(config: RunConfig, outcome: Outcome) -> Selection:
    metric = config.task.metric
    return Selection(metric=metric, mode=config.task.mode, score=outcome.metrics["validation"][metric])


def _parameters(count: ParameterCount) -> Parameters:
    return Parameters(
        backbone=count.backbone,
        trained=count.trained,
        trained_percent=100 * count.share,
        inserted=count.inserted,
        by_part=count.by_part,
        head=count.head,
    )


def _cost(outcome: Outcome, micro_batch: MicroBatch, data: TaskData, total_seconds: float) -> Cost:
    watch = outcome.stopwatch
    return Cost(
        train_seconds=watch.seconds,
        total_seconds=total_seconds,
        train_samples_per_second=watch.samples / watch.seconds if watch.seconds else 0.0,
        train_tokens_per_second=watch.tokens / watch.seconds if watch.seconds else 0.0,
        test_samples_per_second=len(data.test) / outcome.test_seconds if outcome.predictions else 0.0,
        peak_memory_bytes=environment.peak_memory_bytes(),
        steps=outcome.steps,
        micro_batch_size=micro_batch.rows,
        halvings=micro_batch.halvings,
    )
