"""Trains a model with Lightning, and tests its best checkpoint."""

import logging
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from pytorch_lightning.callbacks import Callback, EarlyStopping
from pytorch_lightning.loggers import Logger
from pytorch_lightning.strategies import Strategy
from torch import Tensor

from lnbench.backbone.tuned_model import TunedModel
from lnbench.config.run import RunConfig
from lnbench.records.environment import forget_peak_memory
from lnbench.records.files import BEST, METRICS, RESUME
from lnbench.tasks.data.load import TaskData
from lnbench.training.batching import EvalLoader, TrainLoader
from lnbench.training.callbacks.best_checkpoint import BestCheckpoint
from lnbench.training.callbacks.finite import Finite
from lnbench.training.callbacks.history import History
from lnbench.training.callbacks.progress import Progress
from lnbench.training.callbacks.resume_point import ResumePoint
from lnbench.training.callbacks.stopwatch import Stopwatch
from lnbench.training.checkpoint import SafetensorsCheckpointIO
from lnbench.training.context import Context
from lnbench.training.device import choose_precision, count_devices, use_gpu
from lnbench.training.frozen.layers import FrozenLayers
from lnbench.training.halved_evaluation import HalvingModule
from lnbench.training.module import TuningModule, count_steps
from lnbench.training.sharded.sharding import whole
from lnbench.training.sharded.strategy import ShardedStrategy

STATE_FORMAT = 6
"""Version of a checkpoint's state, and of the order of batches that the state counts."""


@dataclass(frozen=True)
class FitResult:
    """The result of training and testing."""

    state: dict[str, Tensor]
    """Tensors that restore the model at its best step."""
    metrics: dict[str, dict[str, float]]
    """Values by split (validation at the best step, and test), then by metric."""
    predictions: list[dict[str, Any]]
    """Predictions for the test split, one for each row."""
    stopwatch: Stopwatch
    steps: int
    together: int
    """Number of runs, this one included, that trained at once and share the cost."""


def fit_and_test(
    config: RunConfig,
    model: TunedModel,
    data: TaskData,
    context: Context,
    micro_batch_size: int | None = None,
) -> FitResult:
    """Trains `model` and restores its best values; continues from the folder's resume point if there is one.

    A model with nothing to train (a language model with the method `head`) is evaluated as it is.

    Args:
        config: configuration of the run.
        model: model with its initial values.
        data: tokenised splits.
        context: surroundings of the run.
        micro_batch_size: largest number of rows that go through the model at once in training; evaluation then halves
            its batches when memory runs out. None: `trainer.batch_size`, and evaluation does not halve its batches.

    Raises:
        ConfigError: this machine does not have the requested device or precision.
        NewerError: a newer lnbench wrote the resume point.
        RunInterrupted: a signal came; the resume point is saved.
    """
    fitting = _fitting(config, model, data, context, micro_batch_size)
    trainer, module = fitting.trainer, fitting.module
    with fitting.resume_point.listening():
        if model.trained():
            resume_from = fitting.resume_point.usable() if trainer.is_global_zero else None
            trainer.fit(module, fitting.train, fitting.validation, ckpt_path=trainer.strategy.broadcast(resume_from))
            fitting.history.write()
            module.load_best(context.folder / BEST)
        else:
            trainer.validate(module, fitting.validation, verbose=False)
        if config.test:
            with fitting.stopwatch.timing(fitting.stopwatch.test):
                trainer.test(module, fitting.test, verbose=False)
    tested = {"test": module.metrics["test"]} if config.test else {}
    if context.logger:
        context.logger.log_metrics(
            {f"test/{name}": value for name, value in tested.get("test", {}).items()}, trainer.global_step
        )
    return FitResult(
        state=whole(model.state()),
        metrics={"validation": fitting.history.best(), **tested},
        predictions=module.predictions.get("test", []),
        stopwatch=fitting.stopwatch,
        steps=trainer.global_step,
        together=module.together,
    )


def fit_first_steps(config: RunConfig, model: TunedModel, data: TaskData, folder: Path, count: int) -> None:
    """Does the first steps of a run, with the learning rates that they have in the whole run, and writes metrics.csv.

    Args:
        config: configuration of the run.
        model: model with its initial values, of which some are trained.
        data: tokenised splits.
        folder: folder for metrics.csv.
        count: number of optimiser steps.

    Raises:
        ConfigError: this machine does not have the requested device or precision.
        RunInterrupted: a signal came.
    """
    fitting = _fitting(config, model, data, Context(folder), last=count)
    with fitting.resume_point.listening():
        fitting.trainer.fit(fitting.module, fitting.train, fitting.validation)
    fitting.history.write()


@dataclass(frozen=True, eq=False)
class _Fitting:
    """The objects that train and test one model."""

    trainer: pl.Trainer
    module: TuningModule
    train: TrainLoader
    validation: EvalLoader
    test: EvalLoader
    history: History
    resume_point: ResumePoint
    stopwatch: Stopwatch


def _fitting(
    config: RunConfig,
    model: TunedModel,
    data: TaskData,
    context: Context,
    micro_batch_size: int | None = None,
    last: int | None = None,
) -> _Fitting:
    """Prepares a run that ends after its step `last`, or else as its configuration says."""
    folder, fused = context.folder, context.fused
    pin = use_gpu(config.trainer)
    forget_peak_memory()
    at_once = micro_batch_size or config.trainer.batch_size
    train = TrainLoader(data.train, config.trainer.step_rows, config.seed, piece_size=at_once, pin_memory=pin)
    validation, test = (
        EvalLoader(split, config.trainer.eval_batch_size, pin_memory=pin) for split in (data.validation, data.test)
    )
    steps = count_steps(config.trainer, len(train))
    together = fused.new_module if fused else TuningModule
    module = (HalvingModule if micro_batch_size else together)(model, config, data, steps).train()
    stopwatch = Stopwatch(count_devices(config.trainer) if pin else 0, context.span)
    history = History(folder / METRICS, config.task.metric, config.task.mode, stopwatch)
    resume_point = ResumePoint(
        folder / RESUME,
        folder / BEST,
        _origin(model, data),
        config.trainer.checkpoint_minutes,
        stopwatch,
        fused.stop if fused else None,
    )
    frozen = FrozenLayers(config.trainer, model, train, steps, at_once)
    callbacks = [stopwatch, frozen, Finite(), history, *_callbacks(config, history, stopwatch, folder), resume_point]
    trainer = new_trainer(config, callbacks, folder, min(steps, last or steps), context.logger)
    return _Fitting(trainer, module, train, validation, test, history, resume_point, stopwatch)


def _origin(model: TunedModel, data: TaskData) -> dict[str, Any]:
    """Values that a checkpoint and the run that continues from it must share, besides the run's identity."""
    return {
        "format": STATE_FORMAT,
        "data": data.fingerprint,
        "trained": {name: list(value.shape) for name, value in model.trained().items()},
    }


def _callbacks(config: RunConfig, history: History, stopwatch: Stopwatch, folder: Path) -> list[Callback]:
    callbacks: list[Callback] = [BestCheckpoint(folder / BEST, history, stopwatch)]
    if config.trainer.patience:
        callbacks.append(
            EarlyStopping(
                history.metric, patience=config.trainer.patience, mode=history.mode, check_on_train_epoch_end=False
            )
        )
    if config.trainer.progress:
        callbacks.append(Progress(history))
    return callbacks


def new_trainer(
    config: RunConfig, callbacks: list[Callback], folder: Path, steps: int, logger: Logger | None
) -> pl.Trainer:
    """Lightning's Trainer for one run on one device."""
    _hush()
    settings = config.trainer
    return pl.Trainer(
        accelerator="gpu" if use_gpu(settings) else "cpu",
        devices=1,
        strategy=_strategy(config),
        precision=choose_precision(settings),
        max_epochs=settings.max_epochs,
        max_steps=steps,
        limit_train_batches=steps,
        gradient_clip_val=settings.grad_clip,
        val_check_interval=settings.validate_every or 1.0,
        check_val_every_n_epoch=None if settings.validate_every else 1,
        callbacks=callbacks,
        plugins=[LightningEnvironment(), SafetensorsCheckpointIO()],  # looks for no scheduler such as Slurm
        logger=logger or False,
        log_every_n_steps=1,
        default_root_dir=folder,
        enable_checkpointing=False,
        enable_progress_bar=settings.progress,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        inference_mode=count_devices(settings) == 1,
    )


def _strategy(config: RunConfig) -> Strategy | str:
    if count_devices(config.trainer) == 1:
        return "auto"
    return ShardedStrategy("cuda" if use_gpu(config.trainer) else "cpu")


def _hush() -> None:
    """Silences messages that Lightning prints in every run and that no user of lnbench can act on."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)` is deprecated")
