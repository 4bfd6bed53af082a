"""Frozen linear maps in bf16 whose weights lie in memory as oneDNN multiplies them on a CPU.

A product with a plain weight brings it into that order each time. Packed once, for the forward pass and, transposed,
for the backward pass, it gives the same results to the last bit. The plain weight stays, for all else that reads it.
"""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn.functional import linear

from lnbench.backbone.quantization import is_quantized
from lnbench.backbone.stack import current_stack

ROWS = 1024
"""Tokens of a batch for which oneDNN chooses the order of a weight. Any number of tokens can be multiplied."""


def pack_frozen_weights(model: nn.Module) -> None:
    """Packs the frozen weights of linear maps that are stored in bf16 on a CPU with products in bf16."""
    for module in model.modules():
        if type(module) is nn.Linear and "forward" not in vars(module) and _can_pack(module):
            _replace_forward(module, _Packed(module))


class _Packed:
    """A linear map, and its weight packed for both directions."""

    def __init__(self, module: nn.Linear) -> None:
        weight = module.weight.detach()
        self.module = module
        self.there, self.back = (_pack(one) for one in (weight, weight.T.contiguous()))


def _can_pack(module: nn.Linear) -> bool:
    weight, bias = module.weight, module.bias
    return (
        not any(parameter.requires_grad for parameter in module.parameters(recurse=False))
        and not is_quantized(weight)
        and weight.device.type == "cpu"
        and {one.dtype for one in (weight, bias) if one is not None} == {torch.bfloat16}
        and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    )


def _pack(weight: Tensor) -> Tensor:
    packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight, ROWS)
    return packed


def _replace_forward(module: nn.Module, packed: _Packed) -> None:
    module.forward = partial(_forward, packed)


def _forward(packed: _Packed, x: Tensor) -> Tensor:
    module = packed.module
    if current_stack() is not None or not torch.is_autocast_enabled("cpu"):
        return linear(x, module.weight, module.bias)
    product: Tensor = _Product.apply(x.to(torch.bfloat16), packed)  # type: ignore[no-untyped-call]
    return product


def _multiply(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    product: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return product


class _Product(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, packed: _Packed) -> Tensor:
        ctx.packed = packed
        return _multiply(x, packed.there, packed.module.bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _multiply(gradient, ctx.packed.back, None), None
