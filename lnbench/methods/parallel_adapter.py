"""Scaled parallel adapter on the feed-forward network (He et al. 2022, arXiv 2110.04366)."""

from typing import ClassVar

from lnbench.backbone.tables import Sublayer
from lnbench.methods.parts.bottleneck import ParallelAdapter


class FfnParallelAdapter(ParallelAdapter):
    """A bottleneck adapter beside the feed-forward network, from its input to its output."""

    kind: ClassVar[str] = "parallel_adapter"
    sublayers: ClassVar[tuple[Sublayer, ...]] = ("ffn",)
