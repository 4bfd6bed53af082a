"""SVFT (Lingam et al. 2024, arXiv 2405.19597): trained coefficients of a weight's singular vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from lnbench.methods.base import MOST
from lnbench.methods.parts.weight_updates import WeightUpdates

if TYPE_CHECKING:
    from lnbench.backbone.backbone import LinearMap
    from lnbench.methods.parts.linear_change import Update


class Svft(WeightUpdates):
    """W -> U (S + M) V^T, with the singular value decomposition W = U S V^T and a banded M that starts at zero."""

    kind: ClassVar[str] = "svft"

    band: Annotated[int, Field(ge=0, le=MOST)]
    """Number of diagonals of M on each side of the main diagonal; 0 is the paper's plain form."""

    @property
    def needs_weights(self) -> bool:
        """True, because it computes their singular vectors."""
        return True

    def update(self, target: LinearMap) -> Update:
        """M of one map."""
        from lnbench.methods.parts.singular_updates import BandedUpdate

        return BandedUpdate(target, self.band)
