"""The work of one run, from its configuration to its record."""

import shlex
from pathlib import Path

from lnbench.backbone.loading import load_tokenizer
from lnbench.backbone.tuned_model import TunedModel, count_parameters
from lnbench.config.run import RunConfig
from lnbench.exchange.card import write_card
from lnbench.records.failure import reading_input
from lnbench.records.files import CARD, remove_checkpoints
from lnbench.records.identity import Address
from lnbench.records.record import Record, SearchResult
from lnbench.run import messages
from lnbench.run.afterwards import spared
from lnbench.run.folder import open_folder
from lnbench.run.results import Results, write_results
from lnbench.tasks.data.load import TaskData, load_data
from lnbench.training.assemble import build_model, check_length, check_vocabulary
from lnbench.training.callbacks.stopwatch import RunTime
from lnbench.training.context import Context, FusedTraining
from lnbench.training.device import choose_precision
from lnbench.training.loggers.run_logger import RunLogger, open_logger, require_loggers
from lnbench.training.memory import fit_within_memory
from lnbench.training.prepare import prepare
from lnbench.training.retention import RetentionMeter
from lnbench.training.shared import Shared, data_key
from lnbench.training.shift import keep_pretrained, measure_shift


def execute(
    config: RunConfig,
    address: Address,
    found: SearchResult | None = None,
    fused: FusedTraining | None = None,
    shared: Shared | None = None,
) -> Record:
    """Tunes a model, tests its best checkpoint, and leaves a record in the folder of the run.

    Args:
        config: configuration of the run.
        address: address of the run.
        found: result of the configuration's search, if it has one.
        fused: set for a run that trains together with others; None: it trains alone.
        shared: what the runs of a search share; None: the run is alone.

    Raises:
        ConfigError: this machine does not have the requested device, precision or logger, the folder cannot be
            written, or the model cannot be loaded.
        DataError: the data cannot be loaded.
        InputError: something else went wrong while model and data were read.
        NewerError: a newer lnbench has begun the run.
        RunInterrupted: a signal came; the same configuration continues from the last saved state.
    """
    folder = address.folder
    choose_precision(config.trainer)
    require_loggers(config.logger)
    open_folder(folder, config)
    span = RunTime()
    meter = RetentionMeter(config) if config.retention.is_on else None
    with reading_input():
        model, data = load_model_and_data(config, meter, shared)
    pretrained = keep_pretrained(model, config.method)
    count = count_parameters(model)
    messages.show_start(config, count, data, folder)
    with open_logger(config, address) as logger:
        outcome, micro_batch = fit_within_memory(config, model, data, Context(folder, logger, span, fused))
        results = Results(
            found=found,
            data=data,
            count=count,
            shift=measure_shift(pretrained, outcome.state),
            outcome=outcome,
            peak_memory_bytes=outcome.stopwatch.peak_memory_bytes,  # before the model reads the general text
            retention=meter.result(model) if meter else None,
            micro_batch=micro_batch,
            started=span.started,
            seconds=span.seconds,
        )
        record = write_results(config, address, results)
        remove_checkpoints(folder)
        _show(record, folder, logger)
    return record


def _show(record: Record, folder: Path, logger: RunLogger | None) -> None:
    """Writes the card of a finished run, and adds its results to its logs."""
    if "test" in record.metrics:
        with spared(str(folder / CARD), shlex.join(["python", "-m", "lnbench.export", str(folder), "--card"])):
            write_card(record, folder)
    if logger:
        with spared("logger"):
            logger.log_results(record, folder)


def load_model_and_data(
    config: RunConfig, meter: RetentionMeter | None = None, shared: Shared | None = None
) -> tuple[TunedModel, TaskData]:
    """Loads the data of a run and its model, ready for training.

    Args:
        config: configuration of the run.
        meter: measures the pretrained model, after the data is checked.
        shared: what the runs of a search share; None: the run is alone.
    """
    shared = shared or Shared()
    check_length(config)
    tokenizer = load_tokenizer(config.model)
    data = shared.data.of(
        data_key(config),
        lambda: load_data(config.task, tokenizer, config.data_root, config.cache_dir, config.seed),
    )
    check_vocabulary(config, tokenizer, data.highest_token)
    if meter:
        meter.measure_pretrained(tokenizer)
    model = build_model(config)
    prepare(config, model, data, shared)
    return model, data
