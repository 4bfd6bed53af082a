"""Hadamard adapter (Chen et al. 2023, arXiv 2407.11033): scaled and shifted outputs of attention, and the next norm."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from lnbench.methods.base import Method, Stage
from lnbench.methods.parts.layers import Layers, select_layers

if TYPE_CHECKING:
    from torch import nn

    from lnbench.backbone.backbone import Backbone


class Hadamard(Method):
    """a -> w * a + b, where a is the joined outputs of attention's heads, the input of the output projection.

    The paper trains the head alone first; here both learn at the same time.
    """

    kind: ClassVar[str] = "hadamard"
    folds: ClassVar[bool] = True
    shifts: ClassVar[bool] = True
    stage: ClassVar[Stage] = Stage.RESCALE

    norm: bool
    """Also train the norm after attention, by position."""
    layers: Layers

    def attach(self, backbone: Backbone) -> list[nn.Parameter]:
        """Inserts w and b of each block, and claims them and the norm's parameters."""
        from lnbench.methods.parts.linear_change import insert_on_input
        from lnbench.methods.parts.scale_and_shift import ScaleAndShiftOfInput

        claimed: list[nn.Parameter] = []
        for layer in select_layers(self.layers, backbone, "method.hadamard.layers"):
            if self.norm:
                attentions = backbone.parts_of("mha")
                norms = [norm for one in attentions for norm in backbone.norms_after(one, layer, "position")]
                claimed.extend(parameter for norm in norms for parameter in norm.parameters())
            for output in backbone.linear_maps("mha_output", layer):
                change = ScaleAndShiftOfInput(output.in_features).to(backbone.model.device)
                insert_on_input(output.layer, self.kind, change)
                claimed.extend(change.parameters())
        return claimed
