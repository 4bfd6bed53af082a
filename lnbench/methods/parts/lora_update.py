"""The low-rank update of LoRA, with the start of PiSSA and the lengths of DoRA."""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from lnbench.backbone.backbone import LinearMap
from lnbench.methods.parts.linear_change import Rows, Update, weight_of
from lnbench.methods.parts.singular import Singular


class LowRankUpdate(Update):
    """D = scale * B A for a map W x + b, with A of shape (rank, in_features) and B (out_features, rank).

    B starts at zero. With PiSSA, D = scale * B A - P, and scale * B A starts at P = U S V^T, the principal part of W.
    In both cases tuning starts from the pretrained function.
    """

    scale: Tensor
    left: Tensor | None
    right: Tensor | None

    def __init__(
        self, target: LinearMap, rank: int, scale: float, dropout: float, principal: Singular | None = None
    ) -> None:
        """
        Args:
            target: the map.
            rank: rank of the update.
            scale: constant factor of B A.
            dropout: dropout of the input of A.
            principal: U, S and V of P, of this rank. None: B starts at zero.
        """
        super().__init__()
        self.a = nn.Parameter(torch.empty(rank, target.in_features))
        self.b = nn.Parameter(torch.zeros(target.out_features, rank))
        nn.init.kaiming_uniform_(self.a, a=math.sqrt(5))
        self.rows = Rows(target)
        self.in_features = target.in_features
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("scale", torch.tensor(scale, dtype=torch.float64), persistent=False)
        left, right = _halves(principal) if principal else (None, None)
        self.register_buffer("left", left, persistent=False)
        self.register_buffer("right", right, persistent=False)
        if left is not None and right is not None:
            self.a, self.b = nn.Parameter(right / math.sqrt(scale)), nn.Parameter(left / math.sqrt(scale))

    def forward(self, x: Tensor, pretrained: Tensor) -> Tensor:
        """D x."""
        update = linear(linear(self.dropout(x), self.a), self.scale * self.unscaled_b())
        if self.left is None or self.right is None:
            return update
        return update - linear(linear(x, self.right), self.rows.spread(self.left, elsewhere=0.0))

    def delta(self, pretrained: Tensor) -> Tensor:
        """D."""
        a, b = self.low_rank()
        return self.scale * b @ a

    def unscaled_b(self) -> Tensor:
        """B with a row for each output of the layer, (outputs of the layer, rank)."""
        return self.rows.spread(self.b, elsewhere=0.0)

    def low_rank(self) -> tuple[Tensor, Tensor]:
        """A and B with D = scale * B A, of twice the rank if there is a P. B has a row for each output of the layer."""
        if self.left is None or self.right is None:
            return self.a, self.unscaled_b()
        left = self.rows.spread(self.left, elsewhere=0.0) / self.scale
        return torch.cat([self.a, self.right]), torch.cat([self.unscaled_b(), -left.to(self.b)], dim=1)


class MagnitudeUpdate(LowRankUpdate):
    """W -> m (W + D) / |W + D| for LoRA's D, with a length m for each output of the map (DoRA).

    m starts at the lengths of the rows of W. For the gradient |W + D| is a constant, as in section 4.3 of the paper.
    """

    reads_weight = True

    def __init__(
        self, target: LinearMap, rank: int, scale: float, dropout: float, principal: Singular | None = None
    ) -> None:
        """
        Args:
            target, rank, scale, dropout, principal: as for `LowRankUpdate`.
        """
        super().__init__(target, rank, scale, dropout, principal)
        self.magnitude = nn.Parameter(self._lengths(weight_of(target.layer)))

    def forward(self, x: Tensor, pretrained: Tensor) -> Tensor:
        """(m / |W + D| - 1) W x + m / |W + D| D x."""
        ratio = self._ratio(pretrained)
        return (ratio - 1) * linear(x, pretrained) + ratio * super().forward(x, pretrained)

    def delta(self, pretrained: Tensor) -> Tensor:
        """m (W + D) / |W + D| - W."""
        ratio = self._ratio(pretrained)[:, None]
        return (ratio - 1) * pretrained + ratio * super().delta(pretrained)

    def _ratio(self, pretrained: Tensor) -> Tensor:
        """m / |W + D| for each output of the layer. It is 1 for the outputs of other maps."""
        return self.rows.spread(self.magnitude / self._lengths(pretrained), elsewhere=1.0)

    @torch.no_grad()
    def _lengths(self, pretrained: Tensor) -> Tensor:
        """|W + D| for each output of the map."""
        with torch.autocast(pretrained.device.type, enabled=False):
            lengths: Tensor = torch.linalg.vector_norm(self.rows.of(pretrained + super().delta(pretrained)), dim=1)
        return lengths


def _halves(principal: Singular) -> tuple[Tensor, Tensor]:
    """U S^(1/2) and S^(1/2) V^T."""
    left, values, right = principal
    return left * values.sqrt(), values.sqrt()[:, None] * right
