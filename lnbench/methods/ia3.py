"""(IA)^3 (Liu et al. 2022, arXiv 2205.05638): learned vectors that rescale activations."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from lnbench.backbone.tables import Map
from lnbench.methods.base import Method, Stage
from lnbench.methods.parts.layers import Layers, select_layers

if TYPE_CHECKING:
    from torch import nn

    from lnbench.backbone.backbone import Backbone

OUTPUTS: dict[str, Map] = {"ia3_key": "key", "ia3_value": "value"}
"""The maps whose outputs are rescaled, by the name of what is inserted there."""


class Ia3(Method):
    """y -> l * y for the keys, the values, and the inner activation of the feed-forward network; l is trained."""

    kind: ClassVar[str] = "ia3"
    folds: ClassVar[bool] = True
    stage: ClassVar[Stage] = Stage.RESCALE

    layers: Layers

    def attach(self, backbone: Backbone) -> list[nn.Parameter]:
        """Inserts vectors into each block, and claims them."""
        layers = select_layers(self.layers, backbone, "method.ia3.layers")
        return [factors for layer in layers for factors in _rescale(backbone, layer)]


def _rescale(backbone: Backbone, layer: int) -> list[nn.Parameter]:
    from lnbench.methods.parts.linear_change import Rescale, Rows, insert_on_input, insert_on_output

    device = backbone.model.device
    rescaled = []
    for name, role in OUTPUTS.items():
        for one in backbone.linear_maps(role, layer):
            rescaled.append(Rescale(one.out_features, Rows(one)).to(device))
            insert_on_output(one.layer, name, rescaled[-1])
    (ffn_output,) = backbone.linear_maps("ffn_output", layer)
    rescaled.append(Rescale(ffn_output.in_features).to(device))
    insert_on_input(ffn_output.layer, "ia3_ffn", rescaled[-1])
    return [one.factors for one in rescaled]
