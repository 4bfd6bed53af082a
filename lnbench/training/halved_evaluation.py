"""Evaluation in batches that are halved whenever memory runs out."""

import gc
import logging
from collections.abc import Mapping

import torch
from torch import Tensor

from lnbench.backbone.tuned_model import TunedModel
from lnbench.config.run import RunConfig
from lnbench.core.errors import is_out_of_memory
from lnbench.tasks.data.load import TaskData
from lnbench.training.module import TuningModule

log = logging.getLogger(__name__)


class EvaluationOutOfMemory(MemoryError):
    """A single row does not fit in memory in evaluation. A smaller training batch cannot help."""


class HalvingModule(TuningModule):
    """Trains as `TuningModule`; evaluation halves its batches whenever memory runs out."""

    def __init__(self, model: TunedModel, config: RunConfig, data: TaskData, steps: int) -> None:
        """
        Args:
            model, config, data, steps: as for `TuningModule`.
        """
        super().__init__(model, config, data, steps)
        self.eval_batch_size = config.trainer.eval_batch_size

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
        """Answers some rows; returns whether memory sufficed."""
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
    """Returns unused memory to the device. Do not call it while an exception is being handled."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
