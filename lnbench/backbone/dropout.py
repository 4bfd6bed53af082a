"""Dropout whose masks are cheap to draw on a CPU, where torch's own cost as much as the smaller matrix products."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd import Function

from lnbench.backbone.stack import current_stack

LEVELS = 2**16
"""A mask element is decided by 16 random bits, so that probabilities are multiples of 1 / LEVELS."""


def factors(shape: Sequence[int], p: float, generator: torch.Generator | None = None) -> Tensor:
    """By what dropout multiplies: 0 with probability `p`, else 1 / (1 - p), so that the mean is 1.

    All bits come from one draw of a generator, which seeds a stream of numpy's SFC64.

    Args:
        shape: of the result.
        p: below 1; rounded to a multiple of 1 / `LEVELS`, also where it scales.
        generator: on the CPU; None: torch's default one.

    Returns:
        float32, on the CPU.
    """
    size, dropped = math.prod(shape), min(round(p * LEVELS), LEVELS - 1)
    words = np.random.SFC64(int(torch.randint(2**62, (), generator=generator))).random_raw(math.ceil(size / 4))
    kept = words.view(np.uint16)[:size] >= dropped
    return torch.from_numpy(np.multiply(kept, np.float32(LEVELS / (LEVELS - dropped)))).view(*shape)


def drop(x: Tensor, p: float) -> Tensor:
    """Dropout on a CPU, with probability `p` between 0 and 1; in a stack, each run's masks are those it draws alone."""
    drawn = factors(x.shape, p) if current_stack() is None else _StackedFactors.apply(x, p)  # type: ignore[no-untyped-call]
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
