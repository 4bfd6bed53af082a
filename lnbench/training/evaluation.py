"""A model's answers to all rows of a split."""

from collections.abc import Mapping
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from lnbench.backbone.tuned_model import TunedModel
from lnbench.tasks.base import Task
from lnbench.tasks.tokens.examples import Examples
from lnbench.training.batching import EvalLoader

Outputs = list[dict[str, NDArray[Any]]]


class Collector:
    """Collects outputs batch by batch, and returns them row by row. It waits for a GPU only at the end."""

    def __init__(self, examples: Examples) -> None:
        """
        Args:
            examples: the split to be answered.
        """
        self.examples = examples
        self._batches: list[tuple[dict[str, Tensor], Tensor]] = []
        self._gpus: set[torch.device] = set()

    def add(self, outputs: Mapping[str, Tensor], rows: Tensor) -> None:
        """Adds the outputs of one batch.

        Args:
            outputs: tensors of B entries each.
            rows: (B,) row numbers.
        """
        on_cpu = {name: self._fetch(tensor.float()) for name, tensor in outputs.items()}
        self._batches.append((on_cpu, self._fetch(rows)))

    def take(self) -> Outputs:
        """Returns the outputs of all rows in order. The next collection starts empty."""
        for gpu in self._gpus:
            torch.cuda.synchronize(gpu)
        batches, self._batches = self._batches, []
        outputs = {}
        for tensors, rows in batches:
            arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
            for place, row in enumerate(rows.tolist()):
                outputs[row] = {name: array[place] for name, array in arrays.items()}
        return [outputs[row] for row in range(len(self.examples))]

    def _fetch(self, tensor: Tensor) -> Tensor:
        """Starts to copy a tensor to the CPU. From a GPU, its values are complete only after synchronisation."""
        if tensor.is_cuda:
            self._gpus.add(tensor.device)
        return tensor.to("cpu", non_blocking=tensor.is_cuda)


def answer(model: TunedModel, task: Task, examples: Examples, batch_size: int) -> Outputs:
    """The outputs of the final test for all rows, in order, computed on the model's device."""
    collector, device = Collector(examples), next(model.parameters()).device
    with torch.inference_mode():
        for batch in EvalLoader(examples, batch_size):
            moved = {name: tensor.to(device) for name, tensor in batch.items()}
            collector.add(task.outputs(model, moved, test=True), batch["rows"])
    return collector.take()
