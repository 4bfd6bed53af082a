"""Frozen weights in the number format in which autocast multiplies them."""

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from lnbench.config.run import RunConfig
from lnbench.training.device import choose_precision, count_devices

LINEAR = (nn.Linear, Conv1D)


def round_frozen_weights(config: RunConfig, model: nn.Module) -> None:
    """Rounds to bf16, once, what autocast would round anew for every product: results stay the same to the last bit.

    It also halves the memory that frozen layers take. A sharded model is left alone, whose shards
    hold one format each.

    Args:
        config: of the run.
        model: to be called under autocast from now on.
    """
    if choose_precision(config.trainer) == "bf16-mixed" and count_devices(config.trainer) == 1:
        store_frozen_weights(model, torch.bfloat16)


def store_frozen_weights(model: nn.Module, dtype: torch.dtype) -> None:
    """Changes the format of what is frozen and used by linear layers only; embeddings and norms compute in their own.

    Args:
        model: to be called under an autocast to `dtype`.
        dtype: of the products.
    """
    others = {id(own) for module in model.modules() if type(module) not in LINEAR for own in module.parameters(False)}
    for module in model.modules():
        if type(module) in LINEAR:
            for parameter in module.parameters(recurse=False):
                if not parameter.requires_grad and id(parameter) not in others:
                    parameter.data = parameter.data.to(dtype)
