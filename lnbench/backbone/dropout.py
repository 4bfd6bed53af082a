"""Dropout whose masks are cheap to draw on a CPU, where torch's own cost as much as the smaller matrix products."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.autograd import Function

from lnbench.backbone.stack import current_stack

LEVELS = 2**16
"""A mask element is decided by 16 random bits, so that probabilities are multiples of 1 / LEVELS."""


@dataclass(frozen=True, eq=False)
class Mask:
    """What dropout keeps of a tensor, and by what it multiplies that."""

    kept: Tensor
    """uint8, on the CPU: 1 where an element is kept, else 0."""
    scale: float
    """1 / (1 - p), rounded to float32."""

    def factors(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """By what dropout multiplies, of the mask's shape: 0 or `scale`."""
        return self.kept.to(dtype).mul_(self.scale)

    def of(self, x: Tensor) -> Tensor:
        """What dropout makes of `x`."""
        if x.dtype == torch.bfloat16:  # products of integers are three times as fast, and 0 has the bits of 0.0
            return (x.view(torch.int16) * self.kept.to(torch.int16)).view(torch.bfloat16).mul_(self.scale)
        return x * self.factors(x.dtype)

    def bits(self) -> Tensor:
        """`kept` in an eighth of the memory, one-dimensional."""
        return torch.from_numpy(np.packbits(self.kept.numpy()))


def draw(shape: Sequence[int], p: float, generator: torch.Generator | None = None) -> Mask:
    """Draws what dropout keeps.

    All bits come from one draw of a generator, which seeds a stream of numpy's SFC64.

    Args:
        shape: of the mask.
        p: below 1; rounded to a multiple of 1 / `LEVELS`, also where it scales.
        generator: on the CPU; None: torch's default one.
    """
    size, dropped = math.prod(shape), _dropped_levels(p)
    words = np.random.SFC64(int(torch.randint(2**62, (), generator=generator))).random_raw(math.ceil(size / 4))
    kept: NDArray[np.bool_] = words.view(np.uint16)[:size] >= dropped
    return Mask(torch.from_numpy(kept.view(np.uint8)).view(*shape), _scale(p))


def from_bits(bits: Tensor, shape: Sequence[int], p: float) -> Mask:
    """The mask of a `shape`, drawn with probability `p`, that has these `bits`."""
    kept = np.unpackbits(bits.numpy(), count=math.prod(shape))
    return Mask(torch.from_numpy(kept).view(*shape), _scale(p))


def factors(shape: Sequence[int], p: float, generator: torch.Generator | None = None) -> Tensor:
    """By what dropout multiplies: 0 with probability `p`, else 1 / (1 - p), so that the mean is 1.

    Args:
        shape: of the result.
        p: as for `draw`.
        generator: as for `draw`.

    Returns:
        float32, on the CPU.
    """
    return draw(shape, p, generator).factors()


def drop(x: Tensor, p: float) -> Tensor:
    """Dropout on a CPU, with probability `p` between 0 and 1; in a stack, each run's masks are those it draws alone.

    Of the mask, one bit an element is kept for the backward pass.
    """
    if current_stack() is None:
        dropped: Tensor = _Dropped.apply(x, p)  # type: ignore[no-untyped-call]
        return dropped
    drawn: Tensor = _StackedFactors.apply(x, p)  # type: ignore[no-untyped-call]
    return x * drawn.to(x.dtype)


class Dropout(nn.Dropout):
    """As `nn.Dropout`, with other masks of the same distribution on a CPU."""

    def forward(self, x: Tensor) -> Tensor:
        """From any shape to the same."""
        if not self.training or not 0 < self.p < 1 or x.device.type != "cpu":
            return super().forward(x)
        return drop(x, self.p)


def make_dropout_cheap(model: nn.Module) -> None:
    """Replaces every `nn.Dropout` of a model, with its probability."""
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if type(child) is nn.Dropout:
                setattr(parent, name, Dropout(child.p).train(child.training))


def _dropped_levels(p: float) -> int:
    return min(round(p * LEVELS), LEVELS - 1)


def _scale(p: float) -> float:
    return float(np.float32(LEVELS / (LEVELS - _dropped_levels(p))))


class _Dropped(Function):
    """Dropout that keeps the bits of its mask."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, p: float) -> Tensor:
        mask = draw(x.shape, p)
        if ctx.needs_input_grad[0]:
            ctx.save_for_backward(mask.bits())
            ctx.p = p
        return mask.of(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (bits,) = ctx.saved_tensors
        return from_bits(bits, gradient.shape, ctx.p).of(gradient), None


class _StackedFactors(Function):
    """`factors` of every run of the current stack, each by its own generator and for its own, unpadded shape."""

    @staticmethod
    def forward(x: Tensor, p: float) -> Tensor:
        raise RuntimeError("dropout of what all runs of a stack share, which each of them would drop otherwise")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, float], output: Tensor) -> None:
        ctx.mark_non_differentiable(output)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int, None], x: Tensor, p: float) -> tuple[Tensor, int]:
        stack = current_stack()
        assert stack is not None
        drawn = x.new_zeros(x.movedim(in_dims[0], 0).shape, dtype=torch.float32)
        for run, (padded, generator) in enumerate(zip(drawn, stack.generators, strict=True)):
            own = stack.own_shape(run, padded.shape)
            padded[tuple(map(slice, own))] = factors(own, p, generator)
        return drawn, 0
