"""Updates in the space of a weight's own singular vectors, which stay frozen."""

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from lnbench.backbone.backbone import LinearMap
from lnbench.methods.parts.linear_change import FactoredUpdate, Rows
from lnbench.methods.parts.singular import singular


class SingularUpdate(FactoredUpdate):
    """D = scale * U R (S V^T), with R of shape (rank, rank)."""

    scale: Tensor
    left: Tensor
    right: Tensor

    def __init__(self, target: LinearMap, rank: int, scale: float, setting: str) -> None:
        """
        Args:
            target: the map.
            rank: number of singular values.
            scale: constant factor of D.
            setting: setting that gives the rank, for the error message.

        Raises:
            ConfigError: the map has fewer singular values.
        """
        super().__init__()
        left, values, right = singular(target, rank, setting)
        self.r = nn.Parameter(torch.zeros(rank, rank, device=left.device))
        self.rows = Rows(target)
        self.register_buffer("left", left, persistent=False)
        self.register_buffer("right", values[:, None] * right, persistent=False)
        self.register_buffer("scale", torch.tensor(scale, dtype=torch.float64), persistent=False)

    def factors(self) -> tuple[Tensor, Tensor]:
        """scale * R S V^T and U."""
        return self.scale * self.r @ self.right, self.rows.spread(self.left, elsewhere=0.0)


class BandedUpdate(FactoredUpdate):
    """D = U M V^T, with M of shape (k, k) for k singular values, zero outside of a band around its diagonal."""

    left: Tensor
    right: Tensor

    def __init__(self, target: LinearMap, band: int) -> None:
        super().__init__()
        left, values, right = singular(target)
        self.band = min(band, len(values) - 1)
        self.diagonals = nn.ParameterList(
            torch.zeros(len(values) - abs(offset), device=left.device) for offset in self.offsets
        )
        self.rows = Rows(target)
        self.register_buffer("left", left, persistent=False)
        self.register_buffer("right", right, persistent=False)

    @property
    def offsets(self) -> range:
        """Places of the diagonals. Diagonal o has the elements M[i, i + o]."""
        return range(-self.band, self.band + 1)

    def factors(self) -> tuple[Tensor, Tensor]:
        """M V^T and U. Each diagonal moves and scales the rows of V^T, so that M is never built."""
        mixed = torch.zeros_like(self.right)
        for offset, diagonal in zip(self.offsets, self.diagonals, strict=True):
            moved = self.right[max(offset, 0) : len(self.right) + min(offset, 0)]
            mixed = mixed + pad(diagonal[:, None] * moved, (0, 0, max(-offset, 0), max(offset, 0)))
        return mixed, self.rows.spread(self.left, elsewhere=0.0)
