"""The LightningModule of a run that trains together with others."""

from collections.abc import Callable, Mapping
from functools import cached_property

import torch
from torch import Tensor

from lnbench.config import RunConfig
from lnbench.fused.step import Learned, Own, Step, can_be_stacked
from lnbench.model import TunedModel
from lnbench.tasks.data import TaskData
from lnbench.training.module import TuningModule


class FusedModule(TuningModule):
    """As `TuningModule`, but someone else computes losses and gradients, for this run and others."""

    def __init__(
        self,
        model: TunedModel,
        config: RunConfig,
        data: TaskData,
        steps: int,
        *,
        ask: Callable[[Step], Learned],
        together: int,
    ) -> None:
        """
        Args:
            model, config, data, steps: as `TuningModule`.
            ask: does a step.
            together: number of runs that ask.
        """
        super().__init__(model, config, data, steps)
        self._ask = ask
        self._fused = can_be_stacked(model, config.task)
        self.together = together if self._fused else 1

    def training_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> Tensor:
        """Mean loss of the batch, whose gradient comes with it."""
        if not self._fused:
            return super().training_step(batch, batch_idx)
        step = Step(
            model=self.model,
            own=self._own,
            task=self.config.task,
            batch=batch,
            pad_id=self.data.train.pad_id,
            generator=torch.Generator().set_state(torch.get_rng_state()),
            precision=self.trainer.precision_plugin.forward_context,
        )
        self._learned = self._ask(step)
        return self._learned.loss

    def backward(self, loss: Tensor) -> None:
        """Adds the gradient, which came with the loss, as autograd does, so that hooks of parameters see it."""
        if not self._fused:
            super().backward(loss)
            return
        gradients = torch._foreach_div(self._learned.gradients, self.trainer.accumulate_grad_batches)
        torch.autograd.backward(list(self._own.trained.values()), gradients)

    @cached_property
    def _own(self) -> Own:
        """Of the model, once it is on its device."""
        return Own.of(self.model)
