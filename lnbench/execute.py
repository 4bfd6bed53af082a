"""The work of one run, from its configuration to its record."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path

from lnbench.backbone.loading import load_tokenizer
from lnbench.config import RunConfig
from lnbench.fsio import write_atomically
from lnbench.model import ParameterCount, build_model, check_length, count_parameters
from lnbench.records import environment
from lnbench.records.adapter import header, save_adapter
from lnbench.records.files import CONFIG, PREDICTIONS, RECORD, remove_checkpoints
from lnbench.records.identity import run_id
from lnbench.records.record import Cost, DataSeen, Parameters, Record, Selection, write_record
from lnbench.report import summary
from lnbench.schema import ConfigError
from lnbench.tasks.data import TaskData, load_data
from lnbench.training.device import choose_precision, use_gpu
from lnbench.training.fit import Outcome, fit_and_test
from lnbench.training.logger import open_logger
from lnbench.training.prepare import prepare


def execute(config: RunConfig, folder: Path) -> Record:
    """Tunes a model, tests its best checkpoint, and leaves a record in `folder`.

    Raises:
        ConfigError: this machine has not the device or precision asked for, the folder cannot be
            written, or the model cannot be had.
        DataError: the data cannot be had.
        RunInterrupted: a signal came; the same configuration goes on from the last saved state.
    """
    choose_precision(config.trainer)
    _open_folder(folder, config)
    started, clock = datetime.now(UTC), time.perf_counter()
    check_length(config)
    data = load_data(config.task, load_tokenizer(config.model), config.data_root, config.cache_dir)
    model = build_model(config)
    prepare(config, model, data)
    count = count_parameters(model)
    summary.show_start(config, count, data, folder)
    with open_logger(config, folder) as logger:
        outcome = fit_and_test(config, model, data, folder, logger)
    save_adapter(model.state(), header(config), folder)
    lines = (json.dumps(prediction, ensure_ascii=False) + "\n" for prediction in outcome.predictions)
    write_atomically(folder / PREDICTIONS, "".join(lines))
    record = Record(
        id=run_id(config),
        method=config.method_name,
        task=config.task.name,
        model=config.model.name,
        seed=config.seed,
        selection=_selection(config, outcome),
        metrics=outcome.metrics,
        missing=config.task.missing(),
        baseline=data.baseline,
        parameters=_parameters(count),
        cost=_cost(outcome, data, time.perf_counter() - clock),
        data=DataSeen(fingerprint=data.fingerprint, rows=data.sizes, overlap=data.overlap),
        hardware=environment.hardware() | _device(config),
        versions=environment.versions(),
        git_commit=environment.git_commit(),
        started_at=started.isoformat(timespec="seconds"),
        finished_at=datetime.now(UTC).isoformat(timespec="seconds"),
        config=config.to_dict(),
    )
    write_record(record, folder)
    remove_checkpoints(folder)
    return record


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


def _device(config: RunConfig) -> dict[str, str]:
    device = "gpu" if use_gpu(config.trainer) else "cpu"
    return {"device": device, "precision": choose_precision(config.trainer)}


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


def _cost(outcome: Outcome, data: TaskData, total_seconds: float) -> Cost:
    watch = outcome.stopwatch
    return Cost(
        train_seconds=watch.seconds,
        total_seconds=total_seconds,
        train_samples_per_second=watch.samples / watch.seconds if watch.seconds else 0.0,
        train_tokens_per_second=watch.tokens / watch.seconds if watch.seconds else 0.0,
        test_samples_per_second=len(data.test) / outcome.test_seconds,
        peak_memory_bytes=environment.peak_memory_bytes(),
        steps=outcome.steps,
    )
