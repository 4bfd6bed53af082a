"""Adapter on the feed-forward network (Pfeiffer et al. 2021, arXiv 2005.00247)."""

from typing import ClassVar, Literal

from lnbench.methods.bottleneck import SequentialAdapter


class FfnAdapter(SequentialAdapter):
    """A sequential bottleneck adapter after the feed-forward network."""

    role: ClassVar[Literal["mha_output", "ffn_output"]] = "ffn_output"
    part: ClassVar[str] = "adapter"
