"""Changes of one linear map W x + b, which can be folded into its weights. The map may share its layer with others."""

import math
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from torch.utils.hooks import RemovableHandle
from transformers.pytorch_utils import Conv1D

from lnbench.backbone.backbone import LinearMap


class Rows(nn.Module):
    """Positions of a linear map's outputs among the outputs of its layer."""

    index: Tensor | None

    def __init__(self, target: LinearMap) -> None:
        super().__init__()
        self.register_buffer("index", target.rows, persistent=False)
        self.layer_outputs = target.layer.get_parameter("weight").numel() // target.in_features

    def spread(self, values: Tensor, elsewhere: float) -> Tensor:
        """From (map's outputs, ...) to (layer's outputs, ...), with `elsewhere` at the outputs of other maps."""
        if self.index is None:
            return values
        whole = values.new_full((self.layer_outputs, *values.shape[1:]), elsewhere)
        return whole.index_copy(0, self.index, values)


class Change(nn.Module):
    """A change of a linear layer, inserted as its submodule."""

    hook: RemovableHandle
    """Hook of the layer that applies the change."""
    shifts: bool = False
    """Whether the change adds to the layer's output, so that a layer without a bias gets one when it is folded."""

    def fold(self, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Weight (outputs, inputs) and bias (outputs,) of the changed layer, from those of the layer."""
        raise NotImplementedError


class LowRankUpdate(Change):
    """scale * B A x for a map W x + b, with A of shape (rank, in_features) and B (out_features, rank).

    B starts at zero, so that tuning starts from the pretrained function.
    """

    scale: Tensor

    def __init__(self, target: LinearMap, rank: int, scale: float, dropout: float) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.empty(rank, target.in_features))
        self.b = nn.Parameter(torch.zeros(target.out_features, rank))
        nn.init.kaiming_uniform_(self.a, a=math.sqrt(5))
        self.rows = Rows(target)
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("scale", torch.tensor(scale, dtype=torch.float64), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """From (..., in_features) to (..., outputs of the layer)."""
        return linear(linear(self.dropout(x), self.a), self.scale * self.unscaled_b())

    def fold(self, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """W + scale * B A, and b."""
        return weight + self.scale * self.unscaled_b() @ self.a, bias

    def unscaled_b(self) -> Tensor:
        """B with a row for each output of the layer, (outputs of the layer, rank)."""
        return self.rows.spread(self.b, elsewhere=0.0)


class Rescale(Change):
    """l * y, with one trained factor for each output of a map, or for each of its inputs. All factors start at 1."""

    def __init__(self, size: int, rows: Rows | None = None) -> None:
        super().__init__()
        self.factors = nn.Parameter(torch.ones(size))
        self.rows = rows

    def forward(self, y: Tensor) -> Tensor:
        """From (..., features) to the same shape."""
        return y * self.whole().to(y.dtype)

    def fold(self, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Weight and bias of l * (W x + b) for factors of outputs, and of W (l * x) + b for factors of inputs."""
        factors = self.whole()
        if self.rows is None:
            return weight * factors, bias
        return factors[:, None] * weight, None if bias is None else factors * bias

    def whole(self) -> Tensor:
        """One factor for each output of the layer, or for each of its inputs."""
        return self.factors if self.rows is None else self.rows.spread(self.factors, elsewhere=1.0)


def insert_update(layer: nn.Module, name: str, update: Change) -> None:
    """Makes `layer` return y + update(x) for its input x; `update` becomes its submodule `name`."""
    layer.add_module(name, update)
    update.hook = layer.register_forward_hook(partial(_add_update, name))


def insert_on_output(layer: nn.Module, name: str, change: Change) -> None:
    """Makes `layer` return change(y) where it returned y; `change` becomes its submodule `name`."""
    layer.add_module(name, change)
    change.hook = layer.register_forward_hook(partial(_change_output, name))


def insert_on_input(layer: nn.Module, name: str, change: Change) -> None:
    """Makes `layer` see change(x) where it saw x; `change` becomes its submodule `name`."""
    layer.add_module(name, change)
    change.hook = layer.register_forward_pre_hook(partial(_change_input, name))


@torch.no_grad()
def folded(layer: nn.Module) -> dict[str, Tensor]:
    """Weight and bias, by name, of a layer with its changes folded in. Empty if the layer has no changes.

    The weight has the layer's own shape.
    """
    changes = [child for child in layer.children() if isinstance(child, Change)]
    if not changes:
        return {}
    own = dict(layer.named_parameters(recurse=False))
    transposed = isinstance(layer, Conv1D)
    weight: Tensor = own["weight"].T if transposed else own["weight"]
    bias: Tensor | None = own.get("bias")
    for change in changes:
        weight, bias = change.fold(weight, bias)
    parameters = {"weight": weight.T.contiguous() if transposed else weight, "bias": bias}
    return {name: tensor.detach() for name, tensor in parameters.items() if tensor is not None}


def fold_changes(model: nn.Module) -> None:
    """Folds all changes into the weights, and removes them. The model computes the same as before, up to rounding."""
    for layer in list(model.modules()):
        for name, tensor in folded(layer).items():
            before = getattr(layer, name)  # None: a bias that the layer does not have
            setattr(layer, name, nn.Parameter(tensor, before is not None and before.requires_grad))
        for name, child in list(layer.named_children()):
            if isinstance(child, Change):
                child.hook.remove()
                delattr(layer, name)


def _add_update(name: str, layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    update: Tensor = layer.get_submodule(name)(inputs[0])
    return output + update


def _change_output(name: str, layer: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> Tensor:
    changed: Tensor = layer.get_submodule(name)(output)
    return changed


def _change_input(name: str, layer: nn.Module, inputs: tuple[Tensor, ...]) -> Tensor:
    changed: Tensor = layer.get_submodule(name)(inputs[0])
    return changed
