"""BEFT (Huang et al. 2025, arXiv 2509.15974): one kind of bias of attention, the values'."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from lnbench.methods.base import Method, Stage
from lnbench.methods.parts.layers import Layers, select_layers

if TYPE_CHECKING:
    from torch import nn

    from lnbench.backbone.backbone import Backbone


Bias = Literal["query", "key", "value"]


class Beft(Method):
    """y -> y + b for the queries, keys or values. b starts at zero. The model need not have such a bias.

    The paper finds that the bias of the values works best, on all its models and tasks.
    """

    kind: ClassVar[str] = "beft"
    folds: ClassVar[bool] = True
    shifts: ClassVar[bool] = True
    stage: ClassVar[Stage] = Stage.RESCALE

    bias: Bias
    """The map that gets the bias."""
    layers: Layers

    def attach(self, backbone: Backbone) -> list[nn.Parameter]:
        """Inserts b of each block, and claims it."""
        from lnbench.methods.parts.linear_change import Rows, insert_on_output
        from lnbench.methods.parts.scale_and_shift import ScaleAndShift

        claimed: list[nn.Parameter] = []
        for layer in select_layers(self.layers, backbone, "method.beft.layers"):
            for one in backbone.linear_maps(self.bias, layer):
                change = ScaleAndShift(one.out_features, Rows(one), scales=False).to(backbone.model.device)
                insert_on_output(one.layer, f"{self.kind}_{self.bias}", change)
                claimed.extend(change.parameters())
        return claimed
