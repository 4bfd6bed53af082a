"""Changes of one linear map W x + b, which may share its layer with other maps."""

import math
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from transformers.pytorch_utils import Conv1D

from lnbench.backbone.backbone import LinearMap


class Rows(nn.Module):
    """Where the outputs of a linear map lie among those of its layer."""

    index: Tensor | None

    def __init__(self, target: LinearMap) -> None:
        super().__init__()
        self.register_buffer("index", target.rows, persistent=False)
        self.layer_outputs = target.layer.get_parameter("weight").numel() // target.in_features

    def spread(self, values: Tensor, elsewhere: float) -> Tensor:
        """From (map's outputs, ...) to (layer's outputs, ...), with `elsewhere` at those of other maps."""
        if self.index is None:
            return values
        whole = values.new_full((self.layer_outputs, *values.shape[1:]), elsewhere)
        return whole.index_copy(0, self.index, values)


class LowRankUpdate(nn.Module):
    """scale * B A x for a map W x + b, with A of shape (rank, in_features) and B (out_features, rank).

    B starts at zero, so that tuning starts from the pretrained function.
    """

    def __init__(self, target: LinearMap, rank: int, scale: float, dropout: float) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.empty(rank, target.in_features))
        self.b = nn.Parameter(torch.zeros(target.out_features, rank))
        nn.init.kaiming_uniform_(self.a, a=math.sqrt(5))
        self.rows = Rows(target)
        self.dropout = nn.Dropout(dropout)
        self.scale = scale
        self.transposed = isinstance(target.layer, Conv1D)

    def forward(self, x: Tensor) -> Tensor:
        """From (..., in_features) to (..., outputs of the layer)."""
        return linear(linear(self.dropout(x), self.a), self.scale * self.unscaled_b())

    def delta(self) -> Tensor:
        """What the update adds to the layer's weight, in that weight's shape."""
        delta = self.scale * self.unscaled_b() @ self.a
        return delta.T if self.transposed else delta

    def unscaled_b(self) -> Tensor:
        """B with a row for each output of the layer, (outputs of the layer, rank)."""
        return self.rows.spread(self.b, elsewhere=0.0)


class Rescale(nn.Module):
    """l * y, with one trained factor for each output of a map, or for each of its inputs; one at first."""

    def __init__(self, size: int, rows: Rows | None = None) -> None:
        super().__init__()
        self.factors = nn.Parameter(torch.ones(size))
        self.rows = rows

    def forward(self, y: Tensor) -> Tensor:
        """From (..., features) to the same shape."""
        return y * self.whole().to(y.dtype)

    def whole(self) -> Tensor:
        """A factor for each output of the layer, or each of its inputs."""
        return self.factors if self.rows is None else self.rows.spread(self.factors, elsewhere=1.0)


def insert_update(layer: nn.Module, name: str, update: nn.Module) -> None:
    """Makes `layer` return y + update(x) for its input x; `update` becomes its submodule `name`."""
    layer.add_module(name, update)
    layer.register_forward_hook(partial(_add_update, name))


def insert_on_output(layer: nn.Module, name: str, change: nn.Module) -> None:
    """Makes `layer` return change(y) where it returned y; `change` becomes its submodule `name`."""
    layer.add_module(name, change)
    layer.register_forward_hook(partial(_change_output, name))


def insert_on_input(layer: nn.Module, name: str, change: nn.Module) -> None:
    """Makes `layer` see change(x) where it saw x; `change` becomes its submodule `name`."""
    layer.add_module(name, change)
    layer.register_forward_pre_hook(partial(_change_input, name))


def _add_update(name: str, layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    return output + layer.get_submodule(name)(inputs[0])


def _change_output(name: str, layer: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> Tensor:
    return layer.get_submodule(name)(output)


def _change_input(name: str, layer: nn.Module, inputs: tuple[Tensor, ...]) -> Tensor:
    return layer.get_submodule(name)(inputs[0])
