"""BitFit (Ben Zaken et al. 2022, arXiv 2106.10199): the bias terms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field

from lnbench.backbone.tables import Map
from lnbench.core.schema import ConfigError
from lnbench.methods.base import Method
from lnbench.methods.parts.layers import Layers, select_layers

if TYPE_CHECKING:
    from torch import nn

    from lnbench.backbone.backbone import Backbone

Owner = Literal[Map, "norms"]
Component = Literal["all", Owner]
OWNERS: tuple[Owner, ...] = get_args(Owner)
FUSIBLE: set[Component] = {"query", "key", "value"}
"""Maps that are one layer, with one bias, in some architectures."""


def _listed(components: object) -> object:
    if isinstance(components, str):
        return (components,)
    return tuple(components) if isinstance(components, list) else components


def _in_order(components: tuple[Component, ...]) -> tuple[Component, ...]:
    return ("all",) if "all" in components else tuple(name for name in get_args(Component) if name in components)


class BitFit(Method):
    """Trains the biases of the chosen blocks: all of them, or those of chosen components."""

    kind: ClassVar[str] = "bitfit"

    components: Annotated[
        tuple[Component, ...], BeforeValidator(_listed), Field(min_length=1), AfterValidator(_in_order)
    ]
    """`all`, every bias of a block; or some of the linear maps, and the norms."""
    layers: Layers

    def attach(self, backbone: Backbone) -> list[nn.Parameter]:
        """Claims the biases; inserts nothing."""
        layers = select_layers(self.layers, backbone, "method.bitfit.layers")
        claimed = [bias for layer in layers for bias in self._biases(backbone, layer)]
        if not claimed:
            there = [component for component in OWNERS if self._biases_of(backbone, layers[0], component)]
            hint = f"; there are those of {', '.join(there)}" if there else ""
            raise ConfigError(f"{self._setting()}: the blocks of this model have no such biases{hint}")
        return claimed

    def _biases(self, backbone: Backbone, layer: int) -> list[nn.Parameter]:
        if "all" in self.components:
            return [bias for name, bias in backbone.pretrained[layer].items() if name.endswith("bias")]
        chosen = [component for component in OWNERS if component in self.components]
        biases = [bias for component in chosen for bias in self._biases_of(backbone, layer, component)]
        if not FUSIBLE.issubset(self.components) and any(_shared(backbone, layer, name) for name in chosen):
            raise ConfigError(f"{self._setting()}: query, key and value share one bias in this model; choose all three")
        return biases

    def _biases_of(self, backbone: Backbone, layer: int, component: Owner) -> list[nn.Parameter]:
        if component == "norms":
            found = [_bias(norm) for norm in backbone.norms_of(layer)]
        else:
            maps = backbone.linear_maps(component, layer)
            found = [_bias(one.layer) if one.later_bias is None else one.later_bias for one in maps]
        return [bias for bias in found if bias is not None]

    def _setting(self) -> str:
        return f"method.bitfit.components = {list(self.components)}"


def _bias(owner: nn.Module) -> nn.Parameter | None:
    return dict(owner.named_parameters()).get("bias")


def _shared(backbone: Backbone, layer: int, component: Owner) -> bool:
    """Whether other linear maps share the bias of a linear map."""
    maps = [] if component == "norms" else backbone.linear_maps(component, layer)
    return any(one.rows is not None and _bias(one.layer) is not None for one in maps)
