"""Frozen weights, stored in the number format in which autocast multiplies them."""

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from lnbench.backbone.quantization import is_quantized
from lnbench.config.run import RunConfig
from lnbench.methods.parts.linear_change import Change
from lnbench.training.device import choose_precision, count_devices

LINEAR = (nn.Linear, Conv1D)


def round_frozen_weights(config: RunConfig, model: nn.Module) -> None:
    """Rounds to bf16 once the weights that autocast would round for every product. Results stay equal to the last bit.

    This also halves the memory of frozen layers. A sharded model is left unchanged, because each of its shards
    holds a single format.

    Args:
        config: configuration of the run.
        model: model that is called only under autocast from now on.
    """
    if choose_precision(config.trainer) == "bf16-mixed" and count_devices(config.trainer) == 1:
        store_frozen_weights(model, torch.bfloat16)


def store_frozen_weights(model: nn.Module, dtype: torch.dtype) -> None:
    """Changes the format of frozen weights that only linear layers use. Embeddings and norms keep their own format, and
    so do quantised weights, and layers with a change that computes with their weight.

    Args:
        model: model that is called only under an autocast to `dtype`.
        dtype: format of the products.
    """
    others = {id(own) for module in model.modules() if type(module) not in LINEAR for own in module.parameters(False)}
    for module in model.modules():
        read = any(isinstance(child, Change) and child.reads_weight for child in module.children())
        if type(module) in LINEAR and not read:
            for parameter in module.parameters(recurse=False):
                if not (parameter.requires_grad or id(parameter) in others or is_quantized(parameter)):
                    parameter.data = parameter.data.to(dtype)
