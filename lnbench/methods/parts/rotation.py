"""Orthogonal rotations of the inputs of a linear map."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from lnbench.backbone.backbone import LinearMap
from lnbench.methods.parts.linear_change import Rows, Update


class Rotation(Update):
    """W -> W R^T, where R turns each block of inputs by the Cayley transform (I - Q) (I + Q)^-1 of its own Q.

    Q is skew-symmetric and starts at zero, where R is the identity. With several factors, R = B_m ... B_1 is a product
    of such matrices. The blocks of B_1 are neighbouring inputs. A block of B_i is two halves of blocks that are 2^(i-1)
    halves apart, as in a butterfly of the fast Fourier transform.
    """

    upper: Tensor

    def __init__(self, target: LinearMap, block_size: int, factors: int) -> None:
        """
        Args:
            target: the map.
            block_size: size k of a block. k * 2^(m - 1) must divide the map's inputs. If m > 1, k must be even.
            factors: the number m of factors.
        """
        super().__init__()
        self.block_size, self.factors = block_size, factors
        row, column = torch.triu_indices(block_size, block_size, offset=1, device=torch.get_default_device())
        self.register_buffer("upper", row * block_size + column, persistent=False)
        self.skew = nn.Parameter(torch.zeros(factors * target.in_features // block_size, len(row)))
        self.rows = Rows(target)

    def forward(self, x: Tensor, pretrained: Tensor) -> Tensor:
        """W (R^T - I) x, computed so that a small rotation keeps its precision."""
        turns = enumerate(self.turn().chunk(self.factors))
        return linear(self._change(x, reversed(list(turns))), self._own(pretrained))

    def delta(self, pretrained: Tensor) -> Tensor:
        """W (R^T - I)."""
        turns = enumerate(self.turn().mT.chunk(self.factors))
        return self._change(self._own(pretrained), turns)

    def turn(self) -> Tensor:
        """B - I for each block of each factor in turn, (factors * blocks, block size, block size), for inputs that are
        rows: -2 Q (I + Q)^-1."""
        with torch.autocast(self.skew.device.type, enabled=False):
            flat = self.skew.new_zeros(len(self.skew), self.block_size**2).index_copy(1, self.upper, self.skew)
            upper = flat.unflatten(1, (self.block_size, self.block_size))
            q = upper - upper.mT
            identity = torch.eye(self.block_size, dtype=q.dtype, device=q.device)
            turn: Tensor = torch.linalg.solve(identity + q, -2 * q, left=False)
        return turn

    def _change(self, rows: Tensor, turns: Iterable[tuple[int, Tensor]]) -> Tensor:
        """The change of rows by a product of factors, (..., inputs).

        Args:
            rows: (..., inputs).
            turns: number, counted from 0, and B - I of each factor, in the order in which they act.
        """
        change: Tensor | None = None
        for number, turn in turns:
            blocks = self._blocks(rows if change is None else rows + change, number)
            more = self._joined(torch.einsum("...rk,rkc->...rc", blocks, turn), number)
            change = more if change is None else change + more
        assert change is not None
        return change

    def _blocks(self, rows: Tensor, number: int) -> Tensor:
        """The inputs of each block of a factor, (..., blocks, block size)."""
        if number == 0:
            return rows.reshape(*rows.shape[:-1], -1, self.block_size)
        halves = rows.reshape(*rows.shape[:-1], -1, 2, 2**number, self.block_size // 2)
        return halves.transpose(-3, -2).flatten(-2).flatten(-3, -2)

    def _joined(self, blocks: Tensor, number: int) -> Tensor:
        """From (..., blocks, block size) back to (..., inputs)."""
        if number == 0:
            return blocks.flatten(-2)
        halves = blocks.reshape(*blocks.shape[:-2], -1, 2**number, 2, self.block_size // 2)
        return halves.transpose(-3, -2).flatten(-4)

    def _own(self, pretrained: Tensor) -> Tensor:
        """The layer's weight with zeros at the outputs of other maps."""
        return self.rows.spread(self.rows.of(pretrained), elsewhere=0.0)
