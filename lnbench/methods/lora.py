"""LoRA (Hu et al. 2021, arXiv 2106.09685): a low-rank update of linear maps."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from lnbench.methods.base import Method, Size, Stage
from lnbench.methods.parts.layers import Layers, select_layers

if TYPE_CHECKING:
    from torch import nn

    from lnbench.backbone.backbone import Backbone
    from lnbench.backbone.tables import Map

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


class Lora(Method):
    """W -> W + scale * B A, with A of shape (rank, inputs) and B (outputs, rank)."""

    kind: ClassVar[str] = "lora"
    folds: ClassVar[bool] = True
    stage: ClassVar[Stage] = Stage.WEIGHT
    may_differ: ClassVar[frozenset[str]] = frozenset({"lr", "alpha"})

    targets: Annotated[tuple[Target, ...], Field(min_length=1), AfterValidator(_in_order)]
    """Query, key, value and output of attention. `ffn` is all linear layers of the feed-forward network."""
    rank: Size
    alpha: Annotated[float, Field(gt=0)]
    """The scale is alpha / rank."""
    rslora: bool
    """Makes the scale alpha / sqrt(rank) instead (Kalajdzievski 2023, arXiv 2312.03732)."""
    dropout: Annotated[float, Field(ge=0, lt=1)]
    """Dropout of the input of A."""
    layers: Layers

    @property
    def scale(self) -> float:
        """The constant factor of B A."""
        return self.alpha / (math.sqrt(self.rank) if self.rslora else self.rank)

    def attach(self, backbone: Backbone) -> list[nn.Parameter]:
        """Inserts A and B of every target, and claims them."""
        from lnbench.methods.parts.linear_change import LowRankUpdate, insert_update

        claimed: list[nn.Parameter] = []
        layers = select_layers(self.layers, backbone.num_layers, "method.lora.layers")
        roles = [role for target in self.targets for role in MAPS[target]]
        for layer, role in itertools.product(layers, roles):
            for linear_map in backbone.linear_maps(role, layer):
                update = LowRankUpdate(linear_map, self.rank, self.scale, self.dropout).to(backbone.model.device)
                insert_update(linear_map.layer, f"lora_{role}", update)
                claimed.extend(update.parameters())
        return claimed
