"""s * y + t at a linear map's output, a linear layer's input or a norm's output, which folds into their parameters."""

import torch
from torch import Tensor, nn

from lnbench.methods.parts.linear_change import Change, Rows


class ScaleAndShift(Change):
    """s * y + t for the output y of a linear map, element by element. At first s is 1 and t is 0."""

    def __init__(self, size: int, rows: Rows | None = None, scales: bool = True, shifts: bool = True) -> None:
        """
        Args:
            size: size of s and of t.
            rows: outputs of the map in its layer; None: all.
            scales: whether there is an s.
            shifts: whether there is a t.
        """
        super().__init__()
        self.scale = nn.Parameter(torch.ones(size)) if scales else None
        self.shift = nn.Parameter(torch.zeros(size)) if shifts else None
        self.rows = rows
        self.shifts = shifts

    def forward(self, y: Tensor) -> Tensor:
        """From (..., features) to the same shape."""
        scale, shift = self.whole()
        scaled = y if scale is None else y * scale.to(y.dtype)
        return scaled if shift is None else scaled + shift.to(y.dtype)

    def fold(self, weight: Tensor, bias: Tensor | None, pretrained: Tensor) -> tuple[Tensor, Tensor | None]:
        """s * W and s * b + t."""
        scale, shift = self.whole()
        if scale is not None:
            weight, bias = scale[:, None] * weight, None if bias is None else scale * bias
        return weight, _sum(bias, shift)

    def whole(self) -> tuple[Tensor | None, Tensor | None]:
        """s and t, with an element for each output of the layer."""
        if self.rows is None:
            return self.scale, self.shift
        scale = None if self.scale is None else self.rows.spread(self.scale, elsewhere=1.0)
        return scale, None if self.shift is None else self.rows.spread(self.shift, elsewhere=0.0)


class ScaleAndShiftOfInput(ScaleAndShift):
    """W (s * x + t) + b for the input x of a linear layer."""

    def fold(self, weight: Tensor, bias: Tensor | None, pretrained: Tensor) -> tuple[Tensor, Tensor | None]:
        """W * s and b + W t."""
        moved = None if self.shift is None else weight @ self.shift
        return weight if self.scale is None else weight * self.scale, _sum(bias, moved)


class ScaleAndShiftOfNorm(ScaleAndShift):
    """s * (g * z + b) + t, where z is the normalised input of the norm. If the norm has no b, there is no t.

    s and t are stored as vectors, which have no weight decay, also if g is a matrix (Cohere's norms of queries and
    keys).
    """

    def __init__(self, norm: nn.Module, gain_offset: float) -> None:
        """
        Args:
            norm: norm with a weight, and perhaps a bias.
            gain_offset: g is the weight plus this number.
        """
        weight = norm.get_parameter("weight")
        super().__init__(weight.numel(), shifts=getattr(norm, "bias", None) is not None)
        self.gain_shape, self.gain_offset = weight.shape, gain_offset

    def fold(self, weight: Tensor, bias: Tensor | None, pretrained: Tensor) -> tuple[Tensor, Tensor | None]:
        """s * g minus the norm's offset, and s * b + t."""
        scale, shift = self.whole()
        assert scale is not None
        scaled = None if bias is None else scale * bias
        return scale * (weight + self.gain_offset) - self.gain_offset, _sum(scaled, shift)

    def whole(self) -> tuple[Tensor | None, Tensor | None]:
        """s and t in the shape of g."""
        scale, shift = super().whole()
        assert scale is not None
        return scale.view(self.gain_shape), None if shift is None else shift.view(self.gain_shape)


def _sum(bias: Tensor | None, shift: Tensor | None) -> Tensor | None:
    """The parameters s and t, as far as they exist."""
    return shift if bias is None else bias if shift is None else bias + shift
