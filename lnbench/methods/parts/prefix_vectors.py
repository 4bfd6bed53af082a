"""The keys and values of a prefix. They are trained, or computed by an MLP that is trained in their place."""

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from lnbench.backbone.backbone import Backbone

NAME = "prefix"
"""Name of a layer's prefix in its attention module."""
GATE = "unipelt_prefix"
"""Name of the gate of the prefix in the same module."""
SHARED = "prefix_mlp"
"""Name of the part of the MLP that all layers share, in the base model or in one side of an encoder-decoder."""


class PrefixKeyValues(nn.Module):
    """Trained keys and values of one layer, each (key-value heads, length, head size)."""

    def __init__(self, key: Tensor, value: Tensor) -> None:
        super().__init__()
        self.key, self.value = nn.Parameter(key), nn.Parameter(value)

    def forward(self) -> tuple[Tensor, Tensor]:
        """Keys and values."""
        return self.key, self.value


class PrefixMlp(nn.Module):
    """tanh(W_1 e_i + b_1) for each of P trained vectors e_i: the part of the MLP that the layers share."""

    def __init__(self, length: int, hidden_size: int, mlp_size: int) -> None:
        super().__init__()
        self.vectors = nn.Parameter(torch.randn(length, hidden_size))
        self.linear = nn.Linear(hidden_size, mlp_size)

    def forward(self) -> Tensor:
        """(P, mlp_size)."""
        return torch.tanh(self.linear(self.vectors))


class GeneratedKeyValues(nn.Module):
    """Keys and values of one layer, [P_K; P_V] = W_2 tanh(W_1 e + b_1) + b_2 (Li & Liang 2021)."""

    def __init__(self, mlp: PrefixMlp, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self._unregistered = (mlp,)
        heads, self.length, size = shape
        self.linear = nn.Linear(mlp.linear.out_features, 2 * heads * size)
        self.heads = heads

    def forward(self) -> tuple[Tensor, Tensor]:
        """Keys and values, each (key-value heads, length, head size)."""
        (mlp,) = self._unregistered
        key, value = self.linear(mlp()).view(self.length, 2, self.heads, -1).permute(1, 2, 0, 3)
        return key, value


def prefix_shape(backbone: Backbone, length: int) -> tuple[int, int, int]:
    """Key-value heads, length and head size."""
    heads = getattr(backbone.config, "num_key_value_heads", None) or backbone.heads
    return heads, length, backbone.linear_maps("key", 0)[0].out_features // heads


def fold_prefixes(model: PreTrainedModel) -> None:
    """Replaces computed prefixes by their values and removes the MLP. The model computes the same as before."""
    for module in list(model.modules()):
        prefix = getattr(module, NAME, None)
        if isinstance(prefix, GeneratedKeyValues):
            with torch.no_grad():
                module.add_module(NAME, PrefixKeyValues(*(tensor.clone() for tensor in prefix())))
        if hasattr(module, SHARED):
            delattr(module, SHARED)
