"""Changes of one linear map W x + b that can be folded into its weights. Maps may share a layer."""

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
        """Spreads (map's outputs, ...) to (layer's outputs, ...), with `elsewhere` at the outputs of other maps."""
        if self.index is None:
            return values
        return self.put(values, values.new_full((self.layer_outputs, *values.shape[1:]), elsewhere))

    def put(self, values: Tensor, whole: Tensor) -> Tensor:
        """`whole`, (layer's outputs, ...), with new values, (map's outputs, ...), at the map's outputs."""
        return values if self.index is None else whole.index_copy(0, self.index, values)

    def of(self, values: Tensor) -> Tensor:
        """Picks (map's outputs, ...) from (layer's outputs, ...)."""
        return values if self.index is None else values[self.index]


class Change(nn.Module):
    """A change of a linear layer, inserted as its submodule."""

    hook: RemovableHandle
    """Hook of the layer that applies the change."""
    foldable: bool = True
    """Whether the change can be folded into the layer's weight and bias. A change with a gate cannot."""
    shifts: bool = False
    """Whether the change adds a constant to the layer's output. A layer without a bias then gets one by folding."""
    reads_weight: bool = False
    """Whether its forward pass uses the layer's weight for more than a product. The weight then keeps its number
    format."""

    def fold(self, weight: Tensor, bias: Tensor | None, pretrained: Tensor) -> tuple[Tensor, Tensor | None]:
        """Weight (outputs, inputs) and bias (outputs,) of the changed layer.

        Args:
            weight, bias: those of the layer with the changes folded in that come before this one.
            pretrained: (outputs, inputs), the layer's weight without any change.
        """
        raise NotImplementedError


class Update(Change):
    """A change of the weight alone: W x + b becomes (W + D) x + b. Updates of one layer add up."""

    def forward(self, x: Tensor, pretrained: Tensor) -> Tensor:
        """D x, from (..., inputs) to (..., outputs of the layer).

        Args:
            x: (..., inputs).
            pretrained: (outputs of the layer, inputs), W.
        """
        raise NotImplementedError

    def delta(self, pretrained: Tensor) -> Tensor:
        """D, (outputs of the layer, inputs)."""
        raise NotImplementedError

    def fold(self, weight: Tensor, bias: Tensor | None, pretrained: Tensor) -> tuple[Tensor, Tensor | None]:
        """W + D, and b."""
        return weight + self.delta(pretrained), bias


class FactoredUpdate(Update):
    """D = B A, with A of shape (k, inputs) and B (outputs of the layer, k)."""

    def factors(self) -> tuple[Tensor, Tensor]:
        """A and B."""
        raise NotImplementedError

    def forward(self, x: Tensor, pretrained: Tensor) -> Tensor:
        """B (A x)."""
        a, b = self.factors()
        return linear(linear(x, a), b)

    def delta(self, pretrained: Tensor) -> Tensor:
        """B A."""
        a, b = self.factors()
        return b @ a


class Rescale(Change):
    """l * y, with one trained factor for each output of a map, or for each of its inputs. All factors start at 1."""

    def __init__(self, size: int, rows: Rows | None = None) -> None:
        super().__init__()
        self.factors = nn.Parameter(torch.ones(size))
        self.rows = rows

    def forward(self, y: Tensor) -> Tensor:
        """From (..., features) to the same shape."""
        return y * self.whole().to(y.dtype)

    def fold(self, weight: Tensor, bias: Tensor | None, pretrained: Tensor) -> tuple[Tensor, Tensor | None]:
        """Weight and bias of l * (W x + b) for factors of outputs, and of W (l * x) + b for factors of inputs."""
        factors = self.whole()
        if self.rows is None:
            return weight * factors, bias
        return factors[:, None] * weight, None if bias is None else factors * bias

    def whole(self) -> Tensor:
        """One factor for each output of the layer, or for each of its inputs."""
        return self.factors if self.rows is None else self.rows.spread(self.factors, elsewhere=1.0)


def weight_of(layer: nn.Module) -> Tensor:
    """The weight of a layer's linear maps, (outputs, inputs)."""
    weight = layer.get_parameter("weight")
    return weight.T if isinstance(layer, Conv1D) else weight


def insert_update(layer: nn.Module, name: str, update: Update) -> None:
    """Makes `layer` return y + D x for its input x; `update` becomes its submodule `name`."""
    layer.add_module(name, update)
    update.hook = layer.register_forward_hook(partial(_add_update, name))


def insert_on_output(layer: nn.Module, name: str, change: Change) -> None:
    """Makes `layer` return change(y) in place of y; `change` becomes its submodule `name`."""
    layer.add_module(name, change)
    change.hook = layer.register_forward_hook(partial(_change_output, name))


def insert_on_input(layer: nn.Module, name: str, change: Change) -> None:
    """Makes `layer` read change(x) in place of x; `change` becomes its submodule `name`."""
    layer.add_module(name, change)
    change.hook = layer.register_forward_pre_hook(partial(_change_input, name))


@torch.no_grad()
def folded(layer: nn.Module) -> dict[str, Tensor]:
    """Weight and bias of a layer with its changes folded in, by name. Empty if there is nothing to fold.

    The weight has the layer's own shape.
    """
    changes = [child for child in layer.children() if isinstance(child, Change) and child.foldable]
    if not changes:
        return {}
    weight = pretrained = weight_of(layer)
    bias: Tensor | None = dict(layer.named_parameters(recurse=False)).get("bias")
    for change in changes:
        weight, bias = change.fold(weight, bias, pretrained)
    parameters = {"weight": weight.T.contiguous() if isinstance(layer, Conv1D) else weight, "bias": bias}
    return {name: tensor.detach() for name, tensor in parameters.items() if tensor is not None}


def fold_changes(model: nn.Module) -> None:
    """Folds all changes that can be folded into the weights, and removes them. The model computes the same as before,
    up to rounding."""
    for layer in list(model.modules()):
        for name, tensor in folded(layer).items():
            before = getattr(layer, name)  # None: a bias that the layer does not have
            setattr(layer, name, nn.Parameter(tensor, before is not None and before.requires_grad))
        for name, child in list(layer.named_children()):
            if isinstance(child, Change) and child.foldable:
                child.hook.remove()
                delattr(layer, name)


def _add_update(name: str, layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    update: Tensor = layer.get_submodule(name)(inputs[0], weight_of(layer))
    return output + update.to(output.dtype)


def _change_output(name: str, layer: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> Tensor:
    changed: Tensor = layer.get_submodule(name)(output)
    return changed


def _change_input(name: str, layer: nn.Module, inputs: tuple[Tensor, ...]) -> Tensor:
    changed: Tensor = layer.get_submodule(name)(inputs[0])
    return changed
