"""Adapter on multi-head attention: the third part of the best sum in Qi et al. 2022 (arXiv 2211.08682)."""

from typing import ClassVar, Literal

from lnbench.methods.bottleneck import SequentialAdapter


class MhaAdapter(SequentialAdapter):
    """A sequential bottleneck adapter after multi-head attention."""

    role: ClassVar[Literal["mha_output", "ffn_output"]] = "mha_output"
    part: ClassVar[str] = "mha_adapter"
