"""Batches that are larger than what fits in memory, worked off piece by piece."""

import gc
import logging
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.optim import Optimizer

from lnbench.config import RunConfig
from lnbench.model import TunedModel
from lnbench.records.failure import is_out_of_memory
from lnbench.tasks.data import TaskData
from lnbench.training.batching import pieces, share_of_loss
from lnbench.training.module import TuningModule

log = logging.getLogger(__name__)


class EvaluationOutOfMemory(MemoryError):
    """A single row does not fit in memory in evaluation, which no smaller training batch can mend."""


class MicroBatchedModule(TuningModule):
    """Trains on the same batches as `TuningModule`, adding up the gradients of micro-batches.

    The loss and its gradient are those of the whole batch up to rounding, for every task: the mean over
    all labels that count. Only dropout differs, which is drawn anew in each micro-batch. Evaluation
    halves its batches whenever memory runs out.
    """

    def __init__(self, model: TunedModel, config: RunConfig, data: TaskData, steps: int, micro_batch_size: int) -> None:
        """
        Args:
            model, config, data, steps: as `TuningModule`.
            micro_batch_size: rows whose gradients are computed at once.
        """
        super().__init__(model, config, data, steps)
        self.micro_batch_size = micro_batch_size
        self.eval_batch_size = config.trainer.eval_batch_size

    def training_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> Tensor:
        """Mean loss of the batch, whose gradient is left in the parameters."""
        if batch_idx % self.trainer.accumulate_grad_batches == 0:
            self.zero_grad()
        losses = [self._learn(rows, batch, batch_idx) for rows in pieces(batch, self.micro_batch_size)]
        return torch.stack(losses).sum()

    def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: Optimizer) -> None:
        """Does nothing: `training_step`, which Lightning calls before this, has done it."""

    def backward(self, loss: Tensor) -> None:
        """Does nothing: `training_step` has done it."""

    def _learn(self, rows: Mapping[str, Tensor], batch: Mapping[str, Tensor], batch_idx: int) -> Tensor:
        """Adds the gradient of some rows of a batch; returns their part of its loss."""
        loss = share_of_loss(rows, batch) * super().training_step(rows, batch_idx)
        with torch.autocast(self.device.type, enabled=False):
            (loss / self.trainer.accumulate_grad_batches).backward()
        torch.clear_autocast_cache()  # what it keeps belongs to the graph that is gone
        return loss.detach()

    def _evaluate(self, split: str, batch: Mapping[str, Tensor]) -> None:
        done = 0
        while done < len(batch["rows"]):
            rows = {name: tensor[done : done + self.eval_batch_size] for name, tensor in batch.items()}
            if self._fits(split, rows):
                done += len(rows["rows"])
            else:
                free_memory()
                self.eval_batch_size = len(rows["rows"]) // 2
                log.warning("out of memory in evaluation: batches of %d rows from now on", self.eval_batch_size)

    def _fits(self, split: str, rows: Mapping[str, Tensor]) -> bool:
        """Answers some rows, unless memory runs out."""
        try:
            super()._evaluate(split, rows)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            if len(rows["rows"]) == 1:
                raise EvaluationOutOfMemory("one row does not fit in memory in evaluation") from error
            return False
        return True


def free_memory() -> None:
    """Gives back to the device what nobody holds any more; not to be called while an exception is handled."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
