"""Stores the weights of a backbone's linear maps in 8 or 4 bits, with torchao.

Only the maps inside the transformer's blocks are quantised. Norms, biases, embeddings and the output layer do not
change. The forward and the backward pass compute with the dequantised weights, so every trained parameter gets its
gradient.

- int8: one scale for each output (torchao's `Int8WeightOnlyConfig`).
- nf4: 4-bit NormalFloat of Dettmers et al. 2023, arXiv 2305.14314, in blocks of 64 weights, whose scales are quantised
  to 8 bits in blocks of at most 256 (torchao's `to_nf4`).
"""

import importlib.util
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from lnbench.backbone.backbone import blocks_of
from lnbench.backbone.config import Quantization
from lnbench.core.schema import ConfigError

BLOCK, SCALES = 64, 256
"""For nf4: number of weights with one scale, and largest number of scales that are quantised together."""


def require_torchao(quantization: Quantization) -> None:
    """Checks that weights can be quantised.

    Raises:
        ConfigError: torchao is not installed.
    """
    if importlib.util.find_spec("torchao") is None:
        raise ConfigError(
            f"model.quantization = {quantization!r}: needs the Python package torchao; "
            f"try: pip install 'lnbench[quantization]'"
        )


def check_quantizable(model: PreTrainedModel, quantization: Quantization) -> None:
    """Checks that all linear maps in the blocks can be quantised. The model may be without values.

    Raises:
        ConfigError: the architecture has linear maps of another class, or a matrix has a size that does not fit.
    """
    for name, layer in _linear_layers(model):
        if type(layer) is not nn.Linear:
            raise ConfigError(
                f"model.quantization = {quantization!r}: the linear maps of {type(model).__name__} are of class "
                f"{type(layer).__name__}, which torchao does not quantise; leave it out, or choose another model"
            )
        if quantization == "nf4" and layer.weight.numel() % BLOCK:
            raise ConfigError(
                f"model.quantization = 'nf4': {name} has {layer.weight.numel():,} weights, which must be a multiple of "
                f"{BLOCK}; choose int8"
            )


@torch.no_grad()
def quantize(model: PreTrainedModel, quantization: Quantization) -> None:
    """Replaces the weights of all linear maps in the blocks. The model's other parameters stay as they are.

    Raises:
        ConfigError: as `check_quantizable`.
    """
    check_quantizable(model, quantization)
    for _, layer in _linear_layers(model):
        layer.weight = nn.Parameter(_stored(layer.weight, quantization), requires_grad=False)


def is_quantized(tensor: Tensor) -> bool:
    """Whether a tensor is stored in fewer bits than it computes with."""
    return hasattr(tensor, "__tensor_flatten__")


def are_equal(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors hold the same values in the same format."""
    if type(one) is not type(other) or one.dtype != other.dtype:
        return False
    if not is_quantized(one):
        return torch.equal(one, other)
    inside, other_inside = stored_parts(one), stored_parts(other)
    return inside.keys() == other_inside.keys() and all(are_equal(inside[name], other_inside[name]) for name in inside)


def stored_parts(tensor: Tensor) -> dict[str, Tensor]:
    """The tensors that store a quantised one, by name: numbers of few bits, and scales."""
    flatten: Callable[[], tuple[list[str], Any]] = tensor.__tensor_flatten__  # type: ignore[attr-defined]
    return {name: getattr(tensor, name) for name in flatten()[0]}


def _linear_layers(model: PreTrainedModel) -> list[tuple[str, nn.Linear | Conv1D]]:
    """The linear maps in the blocks, each once, with their names in the block."""
    layers = {layer: name for block in blocks_of(model) for name, layer in block.named_modules()}
    return [(name, layer) for layer, name in layers.items() if isinstance(layer, nn.Linear | Conv1D)]


def _stored(weight: Tensor, quantization: Quantization) -> Tensor:
    from torchao.quantization import Int8WeightOnlyConfig, quantize_, to_nf4

    if quantization == "int8":
        outputs, inputs = weight.shape
        layer = nn.Linear(inputs, outputs, bias=False, device="meta")
        layer.weight = nn.Parameter(weight.detach())
        quantize_(layer, Int8WeightOnlyConfig())
        return layer.weight.detach()
    stored: Tensor = to_nf4(weight.detach(), BLOCK, math.gcd(weight.numel() // BLOCK, SCALES))
    return stored
