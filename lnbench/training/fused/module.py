"""The LightningModule of a run that trains together with others."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from lnbench.backbone.tuned_model import TunedModel
from lnbench.config.run import RunConfig
from lnbench.tasks.data.load import TaskData
from lnbench.training.fused.step import Learned, Own, Step, can_be_stacked
from lnbench.training.module import TuningModule


class _Known(torch.autograd.Function):
    """A loss whose gradient has been computed before."""

    @staticmethod
    def forward(ctx: Any, learned: Learned, *parameters: Tensor) -> Tensor:
        ctx.gradients = learned.gradients
        return learned.loss.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return None, *torch._foreach_mul(ctx.gradients, gradient)


def with_gradients(learned: Learned, parameters: Sequence[Tensor]) -> Tensor:
    """Returns the loss. Its backward gives each parameter its known gradient through autograd, so that hooks see it."""
    loss: Tensor = _Known.apply(learned, *parameters)  # type: ignore[no-untyped-call]
    return loss


class FusedModule(TuningModule):
    """A `TuningModule` that lets someone else compute the losses and gradients, for this run and others together."""

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
            model, config, data, steps: as for `TuningModule`.
            ask: function that computes the loss and gradients of a step.
            together: number of runs that train together.
        """
        super().__init__(model, config, data, steps)
        self._ask = ask
        self._fused = can_be_stacked(model, config.task)
        self.together = together if self._fused else 1

    def loss(self, rows: Mapping[str, Tensor]) -> Tensor:
        """Mean loss of some rows, with known gradients."""
        if not self._fused:
            return super().loss(rows)
        step = Step(
            model=self.model,
            own=self._own,
            task=self.config.task,
            batch=rows,
            pad_id=self.data.train.pad_id,
            generator=torch.Generator().set_state(torch.get_rng_state()),
            precision=self.trainer.precision_plugin.forward_context,
        )
        learned = self._ask(step)
        torch.set_rng_state(step.generator.get_state())  # the next rows go on here, whatever others drew
        return with_gradients(learned, list(self._own.trained.values()))

    @cached_property
    def _own(self) -> Own:
        """The run's own tensors, looked up once the model is on its device."""
        return Own.of(self.model)
