"""Training that is tried again in smaller pieces when memory runs out."""

import logging
from pathlib import Path

from pytorch_lightning.loggers import Logger

from lnbench.backbone.tuned_model import TunedModel
from lnbench.config.run import RunConfig
from lnbench.config.trainer import Positive
from lnbench.core.atomic_files import write_atomically
from lnbench.core.errors import is_out_of_memory
from lnbench.core.schema import Schema
from lnbench.core.sealed import read_json
from lnbench.records.files import CHECKPOINTS, remove_checkpoints
from lnbench.tasks.data.load import TaskData
from lnbench.training.callbacks.stopwatch import Span
from lnbench.training.fit import Outcome, fit_and_test
from lnbench.training.halved_evaluation import EvaluationOutOfMemory, free_memory

FILE = f"{CHECKPOINTS}/micro_batch.json"
"""Lies beside the checkpoints that were made with it."""

log = logging.getLogger(__name__)


class MicroBatch(Schema):
    """In which pieces a run works off its training batches."""

    rows: Positive
    """Whose gradients are computed at once; those of a batch are added up."""
    halvings: int = 0
    """How often memory ran out before."""

    def half(self) -> "MicroBatch":
        """After memory ran out once more; the larger half, so that as few pieces as possible make a batch."""
        return MicroBatch(rows=(self.rows + 1) // 2, halvings=self.halvings + 1)


def fit_within_memory(
    config: RunConfig,
    model: TunedModel,
    data: TaskData,
    folder: Path,
    logger: Logger | None = None,
    span: Span | None = None,
) -> tuple[Outcome, MicroBatch]:
    """As `fit_and_test`; with `trainer.on_oom=halve`, again with half the micro-batch whenever memory runs out.

    Every try starts from the same initial values, so that the whole run is done with one size, which
    an interrupted run keeps when it goes on. Batches, their order and the steps stay what they were.

    Returns:
        What training and testing gave, and in which pieces.

    Raises:
        RuntimeError, MemoryError: memory runs out with a single row too, or none is to be tried.
    """
    found = _read(folder)
    micro_batch = found or MicroBatch(rows=min(config.trainer.batch_size, len(data.train)))
    if found is None and config.trainer.on_oom == "fail":
        return fit_and_test(config, model, data, folder, logger, span=span), micro_batch
    initial = {name: tensor.detach().cpu().clone() for name, tensor in model.state().items()}
    while (outcome := _try(config, model, data, folder, logger, micro_batch, span)) is None:
        micro_batch = micro_batch.half()
        log.warning("out of memory: training starts over with %d rows at a time", micro_batch.rows)
        remove_checkpoints(folder)
        write_atomically(folder / FILE, micro_batch.model_dump_json())
        model.zero_grad()
        model.load_trained(initial)
        free_memory()
    return outcome, micro_batch


def _try(
    config: RunConfig,
    model: TunedModel,
    data: TaskData,
    folder: Path,
    logger: Logger | None,
    micro_batch: MicroBatch,
    span: Span | None,
) -> Outcome | None:
    """None if memory ran out; the exception, whose traceback holds tensors, is gone then."""
    try:
        return fit_and_test(config, model, data, folder, logger, micro_batch.rows, span)
    except Exception as error:
        if not is_out_of_memory(error) or isinstance(error, EvaluationOutOfMemory):
            raise
        if micro_batch.rows == 1 or config.trainer.on_oom == "fail":
            remove_checkpoints(folder)  # another try may have more memory, and starts with whole batches
            raise
    return None


def _read(folder: Path) -> MicroBatch | None:
    """What an interrupted run left; None if there is nothing to go on from."""
    try:
        return MicroBatch.model_validate(read_json(folder / FILE))
    except (OSError, ValueError):
        return None
