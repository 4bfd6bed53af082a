"""Dropout whose masks are cheap to draw on a CPU, where torch's own cost as much as the smaller matrix products."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

LEVELS = 2**16
"""A mask element is decided by 16 random bits, so that probabilities are multiples of 1 / LEVELS."""


def factors(shape: Sequence[int], p: float) -> Tensor:
    """By what dropout multiplies: 0 with probability `p`, else 1 / (1 - p), so that the mean is 1.

    All bits come from one draw of torch's default generator, which seeds a stream of numpy's SFC64.

    Args:
        shape: of the result.
        p: below 1; rounded to a multiple of 1 / `LEVELS`, also where it scales.

    Returns:
        float32, on the CPU.
    """
    size, dropped = math.prod(shape), min(round(p * LEVELS), LEVELS - 1)
    words = np.random.SFC64(int(torch.randint(2**62, ()))).random_raw(math.ceil(size / 4))
    kept = words.view(np.uint16)[:size] >= dropped
    return torch.from_numpy(np.multiply(kept, np.float32(LEVELS / (LEVELS - dropped)))).view(*shape)


class Dropout(nn.Dropout):
    """As `nn.Dropout`, with other masks of the same distribution on a CPU."""

    def forward(self, x: Tensor) -> Tensor:
        """From any shape to the same."""
        if not self.training or not 0 < self.p < 1 or x.device.type != "cpu":
            return super().forward(x)
        return x * factors(x.shape, self.p).to(x.dtype)


def make_dropout_cheap(model: nn.Module) -> None:
    """Replaces every `nn.Dropout` of a model, with its probability."""
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if type(child) is nn.Dropout:
                setattr(parent, name, Dropout(child.p).train(child.training))
