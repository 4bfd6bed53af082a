"""LoRA-XS (Balazy et al. 2024, arXiv 2405.17604): a small trained matrix between frozen singular vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from lnbench.methods.base import Size
from lnbench.methods.parts.weight_updates import WeightUpdates

if TYPE_CHECKING:
    from lnbench.backbone.backbone import LinearMap
    from lnbench.methods.parts.linear_change import Update


class LoraXs(WeightUpdates):
    """W -> W + (alpha / rank) U R S V^T, with the first singular values and vectors of W, and an R that starts at zero.

    The authors' code starts R at random numbers of the size 1e-5.
    """

    kind: ClassVar[str] = "lora_xs"
    may_differ: ClassVar[frozenset[str]] = frozenset({"lr", "alpha"})

    rank: Size
    """R has rank * rank elements."""
    alpha: Annotated[float, Field(gt=0)]

    @property
    def needs_weights(self) -> bool:
        """True, because it computes their singular vectors."""
        return True

    def update(self, target: LinearMap) -> Update:
        """R of one map.

        Raises:
            ConfigError: the map has fewer singular values than the rank.
        """
        from lnbench.methods.parts.singular_updates import SingularUpdate

        return SingularUpdate(target, self.rank, self.alpha / self.rank, f"method.{self.kind}.rank")
