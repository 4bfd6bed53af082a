"""Floating-point operations of a training step, and how many a second this machine can do.

A product of matrices with n multiplications takes 2n operations forward, and backward 2n more for each of its two
factors that needs a gradient. A layer of N weights thus takes 2ND for D tokens forward, 2ND for the gradient of its
input, and 2ND for that of its weights only where they are trained. All layers together: 4ND for LN-tuning, 6ND for full
tuning, less what lies below the lowest trained parameter, which needs no gradient at all. Attention multiplies
activations by activations: 4LH a token and layer forward, 8LH backward (L tokens a row, H hidden size). Embeddings,
norms, activation functions and dropout are not counted, and neither is anything computed twice.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from scripts.throughput.clock import now

TRACED_LENGTHS = (2, 3, 4)
SUSTAINED_SECONDS = 0.2
PRODUCTS = (functional.linear, torch.addmm, torch.bmm, torch.matmul, Tensor.matmul, Tensor.__matmul__)


@dataclass(frozen=True)
class RowFlops:
    """Operations of forward and backward of one row, a polynomial of second degree in its length."""

    coefficients: tuple[float, ...]
    """From the constant (head) over the linear term (layers) to the quadratic one (attention)."""

    def of(self, lengths: ArrayLike) -> float:
        """Operations of rows without padding.

        Args:
            lengths: tokens of each row.
        """
        return float(np.polynomial.polynomial.polyval(np.asarray(lengths), self.coefficients).sum())


def count_flops(model: nn.Module) -> RowFlops:
    """Looks at the matrix products of three short rows.

    Args:
        model: takes `input_ids` and `attention_mask`; what it trains requires gradients.
    """
    counts = [_traced(model, length) for length in TRACED_LENGTHS]
    powers = np.vander(np.array(TRACED_LENGTHS, dtype=float), increasing=True)
    return RowFlops(tuple(np.linalg.solve(powers, counts).tolist()))


def _traced(model: nn.Module, length: int) -> int:
    ids = torch.ones((1, length), dtype=torch.int64, device=next(model.parameters()).device)
    counter = _ProductCounter()
    with counter:
        model(input_ids=ids, attention_mask=torch.ones_like(ids))
    return counter.flops


class _ProductCounter(TorchFunctionMode):
    """Adds up the operations, forward and backward, of the products that are called within it."""

    def __init__(self) -> None:
        super().__init__()
        self.flops = 0

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if func is functional.scaled_dot_product_attention:
            query, key, value = args[:3]
            multiplications = query.numel() * key.shape[-2]
            self._add(multiplications, query.requires_grad, key.requires_grad)
            self._add(multiplications, query.requires_grad or key.requires_grad, value.requires_grad)
        elif func in PRODUCTS:
            left, right = args[1:3] if func is torch.addmm else args[:2]
            self._add(result.numel() * left.shape[-1], left.requires_grad, right.requires_grad)
        return result

    def _add(self, multiplications: int, *gradients: bool) -> None:
        self.flops += 2 * multiplications * (1 + sum(gradients))


class MatmulSpeed:
    """Operations a second that one product of the model's own shape and precision reaches."""

    def __init__(self, tokens: int, layer: tuple[int, int], device: torch.device, dtype: torch.dtype) -> None:
        """
        Args:
            tokens: of a batch.
            layer: inputs and outputs of the linear layer.
            device: where.
            dtype: of all numbers.
        """
        inputs, outputs = layer
        self._x = torch.randn(tokens, inputs, device=device, dtype=dtype)
        self._weight = torch.randn(outputs, inputs, device=device, dtype=dtype)
        self._y = torch.empty(tokens, outputs, device=device, dtype=dtype)
        self.measured: list[float] = []
        """Operations a second, each over about the same time."""

    def measure(self) -> None:
        """Multiplies again and again for a fifth of a second or more."""
        repeats = 1
        while (seconds := self._seconds(repeats)) < SUSTAINED_SECONDS:
            repeats *= 2
        self.measured.append(repeats * 2 * self._x.numel() * len(self._weight) / seconds)

    def _seconds(self, repeats: int) -> float:
        started = now()
        for _ in range(repeats):
            torch.mm(self._x, self._weight.T, out=self._y)
        return now() - started
