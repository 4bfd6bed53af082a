"""Orthogonal rotations of the inputs of a linear map."""

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from lnbench.backbone.backbone import LinearMap
from lnbench.methods.parts.linear_change import Rows, Update


class Rotation(Update):
    """W -> W R^T, where R turns each block of inputs by the Cayley transform (I - Q) (I + Q)^-1 of its own Q.

    Q is skew-symmetric and starts at zero, where R is the identity.
    """

    upper: Tensor

    def __init__(self, target: LinearMap, block_size: int) -> None:
        super().__init__()
        self.block_size = block_size
        row, column = torch.triu_indices(block_size, block_size, offset=1, device=torch.get_default_device())
        self.register_buffer("upper", row * block_size + column, persistent=False)
        self.skew = nn.Parameter(torch.zeros(target.in_features // block_size, len(row)))
        self.rows = Rows(target)

    def forward(self, x: Tensor, pretrained: Tensor) -> Tensor:
        """W (R^T - I) x, in which a small turn keeps its precision."""
        blocks = x.unflatten(-1, (-1, self.block_size))
        turned = torch.einsum("...rk,rkc->...rc", blocks, self.turn()).flatten(-2)
        return linear(turned, self._own(pretrained))

    def delta(self, pretrained: Tensor) -> Tensor:
        """W (R^T - I)."""
        blocks = self._own(pretrained).unflatten(-1, (-1, self.block_size))
        return torch.einsum("...rc,rkc->...rk", blocks, self.turn()).flatten(-2)

    def turn(self) -> Tensor:
        """R - I by block, (blocks, block size, block size), for inputs that are rows: -2 Q (I + Q)^-1."""
        with torch.autocast(self.skew.device.type, enabled=False):
            flat = self.skew.new_zeros(len(self.skew), self.block_size**2).index_copy(1, self.upper, self.skew)
            upper = flat.unflatten(1, (self.block_size, self.block_size))
            q = upper - upper.mT
            identity = torch.eye(self.block_size, dtype=q.dtype, device=q.device)
            turn: Tensor = torch.linalg.solve(identity + q, -2 * q, left=False)
        return turn

    def _own(self, pretrained: Tensor) -> Tensor:
        """The layer's weight with zeros at the outputs of other maps."""
        return self.rows.spread(self.rows.of(pretrained), elsewhere=0.0)
