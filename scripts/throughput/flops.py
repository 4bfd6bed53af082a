"""Counts the floating-point operations of a training step, and measures the speed of this machine.

A product of matrices with n multiplications takes 2n operations forward, and backward 2n more for each of its two
factors that needs a gradient. A layer of N weights thus takes 2ND for D tokens forward, 2ND for the gradient of its
input, and 2ND for the gradient of its weights if they are trained. For all layers together, this is 4ND for LN-tuning
and 6ND for full tuning. The layers below the lowest trained parameter take less, because they need no gradient.
Attention multiplies activations by activations: 4LH for each token and layer forward, 8LH backward (L tokens a row, H
hidden size). Embeddings, norms, activation functions and dropout are not counted. Operations that are done twice count
once.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

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
    """Operations of forward and backward of one row, as a polynomial of second degree in its length."""

    coefficients: tuple[float, ...]
    """Coefficients of the constant (head), the linear (layers) and the quadratic term (attention)."""

    def of(self, lengths: ArrayLike) -> float:
        """Operations of rows without padding.

        Args:
            lengths: tokens of each row.
        """
        return float(np.polynomial.polynomial.polyval(np.asarray(lengths), self.coefficients).sum())


def count_flops(model: nn.Module) -> RowFlops:
    """Counts operations from the matrix products of three short rows.

    Args:
        model: model that takes `input_ids` and `attention_mask`; its trained parameters require gradients.
    """
    counts = [_traced(model, length) for length in TRACED_LENGTHS]
    powers = np.vander(np.array(TRACED_LENGTHS, dtype=float), increasing=True)
    return RowFlops(tuple(np.linalg.solve(powers, counts).tolist()))


def _traced(model: nn.Module, length: int) -> int:
    ids = torch.ones((1, length), dtype=torch.int64, device=next(model.parameters()).device)
    counter = _ProductCounter()
    with patch("lnbench.backbone.attention.dropped_attention", _products_of_attention), counter:
        model(input_ids=ids, attention_mask=torch.ones_like(ids))
    return counter.flops


def _products_of_attention(query: Tensor, key: Tensor, value: Tensor, *_: Any) -> Tensor:
    """Takes the place of lnbench's attention with dropout, which hides its products from a counter."""
    return (query @ key.mT @ value).transpose(1, 2)


class _ProductCounter(TorchFunctionMode):
    """Adds up the operations, forward and backward, of all products in its context."""

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
    """Measures the operations per second of one matrix product with the model's own shape and precision."""

    def __init__(self, tokens: int, layer: tuple[int, int], device: torch.device, dtype: torch.dtype) -> None:
        """
        Args:
            tokens: number of tokens in a batch.
            layer: number of inputs and of outputs of the linear layer.
            device: device of the product.
            dtype: number format of the product.
        """
        inputs, outputs = layer
        self._x = torch.randn(tokens, inputs, device=device, dtype=dtype)
        self._weight = torch.randn(outputs, inputs, device=device, dtype=dtype)
        self._y = torch.empty(tokens, outputs, device=device, dtype=dtype)
        self.measured: list[float] = []
        """Measurements in operations per second, each over about the same time."""

    def measure(self) -> None:
        """Repeats the product for at least a fifth of a second."""
        repeats = 1
        while (seconds := self._seconds(repeats)) < SUSTAINED_SECONDS:
            repeats *= 2
        self.measured.append(repeats * 2 * self._x.numel() * len(self._weight) / seconds)

    def _seconds(self, repeats: int) -> float:
        started = now()
        for _ in range(repeats):
            torch.mm(self._x, self._weight.T, out=self._y)
        return now() - started
