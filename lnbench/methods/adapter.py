"""Adapter on the feed-forward network (Pfeiffer et al. 2021, arXiv 2005.00247)."""

from typing import ClassVar

from lnbench.backbone.tables import Sublayer
from lnbench.methods.bottleneck import SequentialAdapter


class FfnAdapter(SequentialAdapter):
    """A sequential bottleneck adapter after the feed-forward network."""

    kind: ClassVar[str] = "adapter"
    sublayers: ClassVar[tuple[Sublayer, ...]] = ("ffn",)
