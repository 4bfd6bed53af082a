"""BitFit (Ben Zaken et al. 2022, arXiv 2106.10199): the bias terms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field

from lnbench.backbone.tables import Map, Sublayer
from lnbench.methods.base import Method
from lnbench.methods.layers import Layers, select_layers
from lnbench.schema import ConfigError

if TYPE_CHECKING:
    from torch import nn

    from lnbench.backbone.backbone import Backbone

Component = Literal["all", Map, "norms"]
FUSIBLE: set[Component] = {"query", "key", "value"}
"""What is one layer, with one bias, in some architectures."""


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
        layers = select_layers(self.layers, backbone.num_layers, "method.bitfit.layers")
        claimed = [bias for layer in layers for bias in self._biases(backbone, layer)]
        if not claimed:
            raise ConfigError(f"{self._setting()}: the blocks of this model have no such biases")
        return claimed

    def _biases(self, backbone: Backbone, layer: int) -> list[nn.Parameter]:
        if "all" in self.components:
            return [bias for name, bias in backbone.pretrained[layer].items() if name.endswith("bias")]
        owners = [
            owner
            for component in self.components
            if component != "all"
            for owner in self._owners(backbone, layer, component)
        ]
        return [bias for owner in owners if (bias := dict(owner.named_parameters()).get("bias")) is not None]

    def _owners(self, backbone: Backbone, layer: int, component: Map | Literal["norms"]) -> list[nn.Module]:
        if component == "norms":
            return [backbone.norm_after(sublayer, layer, "sublayer") for sublayer in get_args(Sublayer)]
        maps = backbone.linear_maps(component, layer)
        if maps[0].rows is not None and not FUSIBLE.issubset(self.components):
            raise ConfigError(f"{self._setting()}: query, key and value share one bias in this model; choose all three")
        return [linear_map.layer for linear_map in maps]

    def _setting(self) -> str:
        return f"method.bitfit.components = {list(self.components)}"
