"""LoRA (Hu et al. 2021, arXiv 2106.09685): a low-rank update of linear maps, and four methods made of it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from lnbench.core.schema import Later
from lnbench.methods.base import Size
from lnbench.methods.parts.weight_updates import WeightUpdates

if TYPE_CHECKING:
    from lnbench.backbone.backbone import LinearMap
    from lnbench.methods.parts.linear_change import Update


class Lora(WeightUpdates):
    """W -> W + scale * B A, with A of shape (rank, inputs) and B (outputs, rank)."""

    kind: ClassVar[str] = "lora"
    gated: ClassVar[bool] = True
    may_differ: ClassVar[frozenset[str]] = frozenset({"lr", "lr_ratio", "alpha"})

    rank: Size
    alpha: Annotated[float, Field(gt=0)]
    """The scale is alpha / rank."""
    rslora: bool
    """Makes the scale alpha / sqrt(rank) instead (Kalajdzievski 2023, arXiv 2312.03732)."""
    dora: Later[bool] = False
    """Trains the length of each row of W apart from its direction (DoRA, Liu et al. 2024, arXiv 2402.09353)."""
    pissa: Later[bool] = False
    """Starts at the principal singular vectors of W, and freezes the rest (PiSSA, Meng et al. 2024, arXiv 2404.02948).
    """
    lr_ratio: Later[Annotated[float, Field(gt=0, le=1000)]] = 1.0
    """Learning rate of B divided by that of A (LoRA+, Hayou et al. 2024, arXiv 2402.12354)."""
    dropout: Annotated[float, Field(ge=0, lt=1)]
    """Dropout of the input of A."""

    @property
    def scale(self) -> float:
        """The constant factor of B A."""
        return self.alpha / (math.sqrt(self.rank) if self.rslora else self.rank)

    @property
    def needs_weights(self) -> bool:
        """True for the lengths of `dora` and the singular vectors of `pissa`."""
        return self.dora or self.pissa

    def rate_multiple(self, parameter: str) -> float:
        """`lr_ratio` for B, else 1."""
        return self.lr_ratio if parameter.endswith(".b") else 1.0

    def update(self, target: LinearMap) -> Update:
        """A and B of one map, and with `dora` the lengths."""
        from lnbench.methods.parts.lora_update import LowRankUpdate, MagnitudeUpdate
        from lnbench.methods.parts.singular import singular

        setting = f"method.{self.kind}.pissa = true, method.{self.kind}.rank"
        principal = singular(target, self.rank, setting) if self.pissa else None
        update = MagnitudeUpdate if self.dora else LowRankUpdate
        return update(target, self.rank, self.scale, self.dropout, principal)
