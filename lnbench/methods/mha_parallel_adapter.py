"""Scaled parallel adapter on multi-head attention (He et al. 2022, arXiv 2110.04366)."""

from typing import ClassVar

from lnbench.backbone.tables import Sublayer
from lnbench.methods.parts.bottleneck import ParallelAdapter


class MhaParallelAdapter(ParallelAdapter):
    """A bottleneck adapter beside multi-head attention, from its input to its output."""

    kind: ClassVar[str] = "mha_parallel_adapter"
    sublayers: ClassVar[tuple[Sublayer, ...]] = ("mha",)
