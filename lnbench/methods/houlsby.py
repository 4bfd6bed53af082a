"""Adapters on both sublayers (Houlsby et al. 2019, arXiv 1902.00751)."""

from typing import ClassVar

from lnbench.backbone.tables import Sublayer
from lnbench.methods.parts.bottleneck import SequentialAdapter


class HoulsbyAdapter(SequentialAdapter):
    """A sequential bottleneck adapter after multi-head attention, and one after the feed-forward network."""

    kind: ClassVar[str] = "houlsby"
    sublayers: ClassVar[tuple[Sublayer, ...]] = ("mha", "ffn")
