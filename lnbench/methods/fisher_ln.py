"""LN-tuning of the elements with the most Fisher information (ValizadehAslani & Liang 2024, arXiv 2403.20284)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from lnbench.backbone.config import MASK
from lnbench.methods.ln import LayerNormTuning

if TYPE_CHECKING:
    from torch import Tensor, nn

    from lnbench.backbone.backbone import Backbone
    from lnbench.backbone.tuned_model import TunedModel


class FisherLayerNormTuning(LayerNormTuning):
    """Trains the share of all elements of the chosen gains and biases with the highest F = E[(dL/dx)^2].

    F is the empirical Fisher information: the mean, over some training batches, of the squared
    gradient of a batch's loss, before training, without dropout. The elements of all norms compete
    with each other. A parameter that another part claims too is trained whole.
    """

    kind: ClassVar[str] = "fisher_ln"

    share: Annotated[float, Field(gt=0, le=1)]
    """Fraction of the elements that is trained."""
    batches: Annotated[int, Field(ge=1)]
    """Training batches from which the Fisher information is estimated."""

    def attach(self, backbone: Backbone) -> list[nn.Parameter]:
        """Claims the parameters, and registers a mask for each. `prepare` decides which elements the masks select."""
        import torch

        claimed = super().attach(backbone)
        no_scores = [torch.zeros(parameter.shape, device="cpu") for parameter in claimed]
        for (norm, name), mask in zip(self._places(backbone), choose(no_scores, self.share), strict=True):
            norm.register_buffer(name + MASK, mask)
        return claimed

    def prepare(self, model: TunedModel, losses: Iterator[Tensor]) -> None:
        """Chooses the elements, and keeps the gradients of all others at zero."""
        import torch

        names = model.claims[self.kind]
        parameters = [model.get_parameter(name) for name in names]
        scores = [torch.zeros_like(parameter) for parameter in parameters]
        for loss in islice(losses, self.batches):
            for score, gradient in zip(scores, torch.autograd.grad(loss, parameters), strict=True):
                score += gradient.square()
        others = {name for part, claimed in model.claims.items() if part != self.kind for name in claimed}
        for name, parameter, mask in zip(names, parameters, choose(scores, self.share), strict=True):
            model.get_buffer(name + MASK).copy_(mask | (name in others))
            parameter.register_hook(partial(_mask_gradient, model, name))


def choose(scores: Sequence[Tensor], share: float) -> list[Tensor]:
    """Masks that select the `share` of all elements with the highest scores. Each has the shape of its scores."""
    import torch

    flat = torch.cat([score.flatten() for score in scores])
    chosen = torch.zeros_like(flat, dtype=torch.bool)
    chosen[flat.topk(max(1, round(share * len(flat)))).indices] = True
    pieces = chosen.split([score.numel() for score in scores])
    return [piece.view(score.shape).clone() for piece, score in zip(pieces, scores, strict=True)]


def _mask_gradient(model: TunedModel, name: str, gradient: Tensor) -> Tensor:
    return gradient * model.get_buffer(name + MASK)
