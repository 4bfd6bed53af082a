"""Updates whose ranks AdaLoRA changes in training (Zhang et al. 2023, arXiv 2303.10512)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lnbench.backbone.backbone import LinearMap
from lnbench.backbone.config import PROGRESS
from lnbench.methods.parts.linear_change import FactoredUpdate, Rows

SENSITIVITY, UNCERTAINTY, KEPT = f"_sensitivity{PROGRESS}", f"_uncertainty{PROGRESS}", f"kept{PROGRESS}"


class TripletUpdate(FactoredUpdate):
    """D = scale * P diag(e) Q, with P of shape (outputs, rank), e (rank,) and Q (rank, inputs).

    A triplet is a column of P, an element of e and a row of Q. e starts at zero, and is zero for triplets that are left
    out.
    """

    scale: Tensor

    def __init__(self, target: LinearMap, rank: int, scale: float) -> None:
        """
        Args:
            target: the map.
            rank: number of triplets.
            scale: constant factor of D.
        """
        super().__init__()
        self.p = nn.Parameter(0.02 * torch.randn(target.out_features, rank))
        self.e = nn.Parameter(torch.zeros(rank))
        self.q = nn.Parameter(0.02 * torch.randn(rank, target.in_features))
        self.rows = Rows(target)
        self.register_buffer("scale", torch.tensor(scale, dtype=torch.float64), persistent=False)
        for name, parameter in list(self.named_parameters()):
            for measure in (SENSITIVITY, UNCERTAINTY):
                self.register_buffer(name + measure, torch.zeros_like(parameter), persistent=False)
        self.register_buffer(KEPT, torch.ones(rank, dtype=torch.bool), persistent=False)

    def factors(self) -> tuple[Tensor, Tensor]:
        """diag(e) Q and scale * P."""
        a, b = self.low_rank()
        return a, self.scale * b

    def low_rank(self) -> tuple[Tensor, Tensor]:
        """A and B with D = scale * B A. B has a row for each output of the layer."""
        return self.e[:, None] * self.q, self.rows.spread(self.p, elsewhere=0.0)

    def distance(self) -> Tensor:
        """|P^T P - I| and |Q Q^T - I|, (2,): how far the columns of P and the rows of Q are from orthonormal."""
        grams = torch.stack([self.p.T @ self.p, self.q @ self.q.T])
        identity = torch.eye(len(self.q), dtype=grams.dtype, device=grams.device)
        distances: Tensor = torch.linalg.matrix_norm(grams - identity)
        return distances

    @torch.no_grad()
    def observe(self, beta1: float, beta2: float) -> None:
        """Updates the moving averages of the sensitivity |w dL/dw| of each parameter w, and of its deviation."""
        for name, parameter in self.named_parameters():
            assert parameter.grad is not None
            sensitivity, uncertainty = self.get_buffer(name + SENSITIVITY), self.get_buffer(name + UNCERTAINTY)
            now = (parameter * parameter.grad).abs()
            sensitivity.lerp_(now, 1 - beta1)
            uncertainty.lerp_((now - sensitivity).abs(), 1 - beta2)

    def importance(self) -> Tensor:
        """Importance of each triplet, (rank,): that of its e plus the mean importances of its column and its row."""
        p, e, q = (self.get_buffer(name + SENSITIVITY) * self.get_buffer(name + UNCERTAINTY) for name in "peq")
        return e + p.mean(dim=0) + q.mean(dim=1)

    @torch.no_grad()
    def leave_out(self) -> None:
        """Sets e to zero for triplets that are left out."""
        self.e.masked_fill_(~self.get_buffer(KEPT), 0.0)


def allot(updates: Sequence[TripletUpdate], budget: int) -> None:
    """Keeps the `budget` most important triplets of all updates, and leaves the others out."""
    scores = torch.cat([update.importance() for update in updates])
    left_out = len(scores) - budget
    if left_out:
        threshold = scores.kthvalue(left_out).values
        for update in updates:
            update.get_buffer(KEPT).copy_(update.importance() > threshold)
            update.leave_out()
