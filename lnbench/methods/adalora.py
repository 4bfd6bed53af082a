"""AdaLoRA (Zhang et al. 2023, arXiv 2303.10512): low-rank updates whose ranks are allotted by importance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field, model_validator

from lnbench.methods.base import Size
from lnbench.methods.parts.weight_updates import WeightUpdates

if TYPE_CHECKING:
    from torch import Tensor

    from lnbench.backbone.backbone import LinearMap
    from lnbench.backbone.tuned_model import TunedModel
    from lnbench.methods.parts.linear_change import Update
    from lnbench.methods.parts.triplets import TripletUpdate

Smoothing = Annotated[float, Field(gt=0, lt=1)]


class AdaLora(WeightUpdates):
    """W -> W + (alpha / rank) P diag(e) Q. A penalty keeps P and Q nearly orthonormal.

    All maps start with `rank` triplets of a column of P, an element of e and a row of Q. From `initial` on, the least
    important ones of all maps are set to e = 0, more with each allotment, down to `target_rank` for the average map.
    They may come back until the last phase, `final`, begins.
    """

    kind: ClassVar[str] = "adalora"
    one_device: ClassVar[bool] = True
    may_differ: ClassVar[frozenset[str]] = frozenset(
        {"lr", "alpha", "target_rank", "orthogonality", "beta1", "beta2", "initial", "final", "interval"}
    )

    rank: Size
    """Rank of each map at the start."""
    target_rank: Size
    """Mean rank of the maps at the end."""
    alpha: Annotated[float, Field(gt=0)]
    orthogonality: Annotated[float, Field(ge=0)]
    """Factor of the mean of |P^T P - I| and |Q Q^T - I| over all maps, which is added to the loss."""
    beta1: Smoothing
    """Share of the past in the moving average of a parameter's sensitivity, |w dL/dw|."""
    beta2: Smoothing
    """The same for the sensitivity's deviation from it. A parameter's importance is the product of both averages."""
    initial: Annotated[float, Field(ge=0, lt=1)]
    """Fraction of all steps before the first allotment."""
    final: Annotated[float, Field(ge=0, lt=1)]
    """Fraction of all steps after the last allotment."""
    interval: Annotated[int, Field(ge=1)]
    """Steps between two allotments."""

    @model_validator(mode="after")
    def _check(self) -> AdaLora:
        if self.target_rank > self.rank:
            raise ValueError(f"target_rank = {self.target_rank}: must be at most rank = {self.rank}")
        if self.initial + self.final >= 1:
            raise ValueError(f"initial = {self.initial}: and final = {self.final} must be less than 1 together")
        return self

    def update(self, target: LinearMap) -> Update:
        """P, e and Q of one map."""
        from lnbench.methods.parts.triplets import TripletUpdate

        return TripletUpdate(target, self.rank, self.alpha / self.rank)

    def penalty(self, model: TunedModel) -> Tensor:
        """The penalty: how far all P and Q are from orthonormal."""
        import torch

        return self.orthogonality * torch.cat([update.distance() for update in _updates(model)]).mean()

    def after_step(self, model: TunedModel, step: int, steps: int) -> None:
        """Measures how important the triplets are, and leaves the least important ones out."""
        from lnbench.methods.parts.triplets import allot

        updates = _updates(model)
        first, last = round(self.initial * steps), steps - round(self.final * steps)
        if step < max(last, 2):  # there are measures at the last allotment, even if it is after the first step
            for update in updates:
                update.observe(self.beta1, self.beta2)
        if step == last or (first < step < last and step % self.interval == 0):
            left = 1 - (step - first) / (last - first)
            allot(updates, int(len(updates) * ((self.rank - self.target_rank) * left**3 + self.target_rank)))
        elif step > last:
            for update in updates:
                update.leave_out()


def _updates(model: TunedModel) -> list[TripletUpdate]:
    from lnbench.methods.parts.triplets import TripletUpdate

    return [module for module in model.backbone.modules() if isinstance(module, TripletUpdate)]
