"""VeRA (Kopiczko et al. 2024, arXiv 2310.11454): trained vectors that scale random matrices, which all maps share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from lnbench.methods.base import Size
from lnbench.methods.parts.weight_updates import WeightUpdates

if TYPE_CHECKING:
    from torch import nn

    from lnbench.backbone.backbone import Backbone


class Vera(WeightUpdates):
    """W -> W + diag(b) B diag(d) A. A and B are random and frozen. b starts at zero."""

    kind: ClassVar[str] = "vera"

    rank: Size
    d_initial: float
    """The value at which every element of d starts."""
    projection_seed: Annotated[int, Field(ge=0, lt=2**63)]
    """Seed of A and B, which are the same for all seeds of a run. They are drawn again and never stored."""

    def attach(self, backbone: Backbone) -> list[nn.Parameter]:
        """Inserts A and B once and the vectors of every target, and claims the vectors."""
        from lnbench.methods.parts.linear_change import insert_update
        from lnbench.methods.parts.random_projections import RandomProjections, ScaledProjections

        maps = self.maps(backbone)
        inputs, outputs = (
            max(sizes) for sizes in zip(*((m.in_features, m.out_features) for _, m in maps), strict=True)
        )
        shared = RandomProjections(self.rank, inputs, outputs, self.projection_seed).to(backbone.model.device)
        backbone.base.add_module(self.kind, shared)
        claimed: list[nn.Parameter] = []
        for role, target in maps:
            update = ScaledProjections(target, shared, self.d_initial).to(backbone.model.device)
            insert_update(target.layer, f"{self.kind}_{role}", update)
            claimed.extend(update.parameters())
        return claimed
