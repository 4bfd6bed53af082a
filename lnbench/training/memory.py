"""Repeats training in smaller pieces when memory runs out."""

import logging
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from lnbench.backbone.tuned_model import TunedModel
from lnbench.config.run import RunConfig
from lnbench.config.trainer import Positive
from lnbench.core.atomic_files import write_atomically
from lnbench.core.errors import is_out_of_memory
from lnbench.core.schema import Schema
from lnbench.core.sealed import read_json
from lnbench.records.files import CHECKPOINTS, remove_checkpoints
from lnbench.tasks.data.load import TaskData
from lnbench.training.context import Context
from lnbench.training.fit import FitResult, fit_and_test
from lnbench.training.halved_evaluation import EvaluationOutOfMemory, free_memory

FILE = f"{CHECKPOINTS}/micro_batch.json"
"""File beside the checkpoints, with the micro-batch by which they were made."""

log = logging.getLogger(__name__)


class MicroBatch(Schema):
    """The pieces in which a run processes its training batches."""

    rows: Positive
    """Number of rows whose gradients are computed at once. The gradients of a batch's pieces are added up."""
    halvings: int = 0
    """Number of times that memory ran out before."""

    def half(self) -> "MicroBatch":
        """The micro-batch after one more halving. It rounds up, so that a batch has as few pieces as possible."""
        return MicroBatch(rows=(self.rows + 1) // 2, halvings=self.halvings + 1)


def fit_within_memory(
    config: RunConfig,
    model: TunedModel,
    data: TaskData,
    context: Context,
) -> tuple[FitResult, MicroBatch]:
    """Calls `fit_and_test`. With `trainer.on_oom=halve`, repeats it with half the micro-batch whenever memory runs out.

    Every try starts from the same initial values, so the whole run uses one size. An interrupted run keeps this size
    when it continues. Batches, their order and the optimiser steps do not change.

    Returns:
        The result of training and testing, and the micro-batch used.

    Raises:
        RuntimeError, MemoryError: memory runs out even with a single row, or the configuration asks for no other try.
    """
    folder = context.folder
    found = _read(folder)
    micro_batch = found or MicroBatch(rows=min(config.trainer.batch_size, len(data.train)))
    if found is None and config.trainer.on_oom == "fail":
        return fit_and_test(config, model, data, context), micro_batch
    initial, progress = (_copied(tensors) for tensors in (model.state(), model.progress()))
    while (outcome := _try(config, model, data, context, micro_batch)) is None:
        micro_batch = micro_batch.half()
        log.warning("out of memory: training starts over with %d rows at a time", micro_batch.rows)
        remove_checkpoints(folder)
        write_atomically(folder / FILE, micro_batch.model_dump_json())
        model.zero_grad()
        model.load_trained(initial)
        model.load_progress(progress)
        free_memory()
    return outcome, micro_batch


def _try(
    config: RunConfig,
    model: TunedModel,
    data: TaskData,
    context: Context,
    micro_batch: MicroBatch,
) -> FitResult | None:
    """Trains and tests; returns None if memory ran out. By then the exception, which holds tensors, is gone."""
    try:
        return fit_and_test(config, model, data, context, micro_batch.rows)
    except Exception as error:
        if not is_out_of_memory(error) or isinstance(error, EvaluationOutOfMemory):
            raise
        if micro_batch.rows == 1 or config.trainer.on_oom == "fail":
            remove_checkpoints(context.folder)  # another try may have more memory, and starts with whole batches
            raise
    return None


def _copied(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}


def _read(folder: Path) -> MicroBatch | None:
    """The micro-batch of an interrupted run; None if there is nothing to continue from."""
    try:
        return MicroBatch.model_validate(read_json(folder / FILE))
    except (OSError, ValueError):
        return None
