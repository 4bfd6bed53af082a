"""Adapter on multi-head attention: the third part of the best sum in Qi et al. 2022 (arXiv 2211.08682)."""

from typing import ClassVar

from lnbench.backbone.tables import Sublayer
from lnbench.methods.parts.bottleneck import SequentialAdapter


class MhaAdapter(SequentialAdapter):
    """A sequential bottleneck adapter after multi-head attention."""

    kind: ClassVar[str] = "mha_adapter"
    sublayers: ClassVar[tuple[Sublayer, ...]] = ("mha",)
