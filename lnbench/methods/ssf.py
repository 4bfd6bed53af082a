"""SSF (Lian et al. 2022, arXiv 2210.08823): scaled and shifted outputs of all linear maps and norms."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, get_args

from lnbench.backbone.tables import Map
from lnbench.methods.base import Method, Stage
from lnbench.methods.parts.layers import Layers, select_layers

if TYPE_CHECKING:
    from torch import nn

    from lnbench.backbone.backbone import Backbone


class Ssf(Method):
    """y -> s * y + t, where y is the output of each linear map and each norm of a block.

    A norm without a bias (RMSNorm) gets only s, and one without parameters gets nothing, so everything can be folded.
    """

    kind: ClassVar[str] = "ssf"
    folds: ClassVar[bool] = True
    shifts: ClassVar[bool] = True
    stage: ClassVar[Stage] = Stage.RESCALE

    layers: Layers

    def attach(self, backbone: Backbone) -> list[nn.Parameter]:
        """Inserts s and t, and claims them."""
        from lnbench.methods.parts.linear_change import Rows, insert_on_output
        from lnbench.methods.parts.scale_and_shift import ScaleAndShift, ScaleAndShiftOfNorm

        claimed: list[nn.Parameter] = []
        for layer in select_layers(self.layers, backbone, "method.ssf.layers"):
            maps = [(name, one) for name in get_args(Map) for one in backbone.linear_maps(name, layer)]
            changes = [(one.layer, name, ScaleAndShift(one.out_features, Rows(one))) for name, one in maps]
            norms = [norm for norm in backbone.norms_of(layer) if list(norm.parameters())]
            changes += [(norm, "norm", ScaleAndShiftOfNorm(norm, backbone.table.gain_offset)) for norm in norms]
            for host, name, change in changes:
                insert_on_output(host, f"{self.kind}_{name}", change.to(backbone.model.device))
                claimed.extend(change.parameters())
        return claimed
