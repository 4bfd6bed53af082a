"""RED, representation editing (Wu et al. 2024, arXiv 2402.15179): scaled and shifted outputs of the FFN."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from lnbench.methods.base import Method, Stage
from lnbench.methods.parts.layers import Layers, select_layers

if TYPE_CHECKING:
    from torch import nn

    from lnbench.backbone.backbone import Backbone


class Red(Method):
    """y -> s * y + t, where y is the output of the feed-forward network."""

    kind: ClassVar[str] = "red"
    folds: ClassVar[bool] = True
    shifts: ClassVar[bool] = True
    stage: ClassVar[Stage] = Stage.RESCALE

    layers: Layers

    def attach(self, backbone: Backbone) -> list[nn.Parameter]:
        """Inserts s and t of each block, and claims them."""
        from lnbench.methods.parts.linear_change import insert_on_output
        from lnbench.methods.parts.scale_and_shift import ScaleAndShift

        claimed: list[nn.Parameter] = []
        for layer in select_layers(self.layers, backbone, "method.red.layers"):
            (output,) = backbone.linear_maps("ffn_output", layer)
            change = ScaleAndShift(output.out_features).to(backbone.model.device)
            insert_on_output(output.layer, self.kind, change)
            claimed.extend(change.parameters())
        return claimed
