"""The common part of methods that change weights of linear maps: the choice of the maps, and the insertion."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from lnbench.methods.base import Method, Stage
from lnbench.methods.parts.layers import Layers, select_layers

if TYPE_CHECKING:
    from torch import nn

    from lnbench.backbone.backbone import Backbone, LinearMap
    from lnbench.backbone.tables import Map
    from lnbench.methods.parts.linear_change import Update

Target = Literal["q", "k", "v", "o", "ffn"]
MAPS: dict[Target, tuple[Map, ...]] = {
    "q": ("query",),
    "k": ("key",),
    "v": ("value",),
    "o": ("mha_output",),
    "ffn": ("ffn_input", "ffn_output"),
}


def _in_order(targets: tuple[Target, ...]) -> tuple[Target, ...]:
    return tuple(target for target in MAPS if target in targets)


class WeightUpdates(Method):
    """W -> W + D for the chosen linear maps. Each method has its own D."""

    kind: ClassVar[str]
    """Name of the method, and prefix of the names of its inserted modules."""
    folds: ClassVar[bool] = True
    stage: ClassVar[Stage] = Stage.WEIGHT

    targets: Annotated[tuple[Target, ...], Field(min_length=1), AfterValidator(_in_order)]
    """Query, key, value and output of attention. `ffn` is all linear layers of the feed-forward network."""
    layers: Layers

    def attach(self, backbone: Backbone) -> list[nn.Parameter]:
        """Inserts an update of every target, and claims its parameters."""
        from lnbench.methods.parts.linear_change import insert_update

        claimed: list[nn.Parameter] = []
        for name, target in self.maps(backbone):
            update = self.update(target).to(backbone.model.device)
            insert_update(target.layer, f"{self.kind}_{name}", update)
            claimed.extend(update.parameters())
        return claimed

    def maps(self, backbone: Backbone) -> list[tuple[Map, LinearMap]]:
        """The linear maps that the method changes, each with its role."""
        layers = select_layers(self.layers, backbone, f"method.{self.kind}.layers")
        roles = [role for target in self.targets for role in MAPS[target]]
        return [
            (role, target)
            for layer, role in itertools.product(layers, roles)
            for target in backbone.linear_maps(role, layer)
        ]

    def update(self, target: LinearMap) -> Update:
        """A new update of one linear map, with its initial values."""
        raise NotImplementedError
