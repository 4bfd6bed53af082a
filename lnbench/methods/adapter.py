"""Adapter on the feed-forward network (Pfeiffer et al. 2021, arXiv 2005.00247)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from lnbench.backbone.tables import Sublayer
from lnbench.methods.parts.bottleneck import SequentialAdapter

if TYPE_CHECKING:
    from torch import nn

    from lnbench.backbone.backbone import Backbone


class FfnAdapter(SequentialAdapter):
    """A sequential bottleneck adapter after the feed-forward network."""

    kind: ClassVar[str] = "adapter"
    sublayers: ClassVar[tuple[Sublayer, ...]] = ("ffn",)

    reads: Literal["ffn", "block"] = "ffn"
    """Input of the adapter A. With `ffn`, it is y, the output of the network. With `block`, it is the output of the
    block without the adapter. The block then returns norm(s + A(norm(s))), with s = y + residual, if its last norm
    follows the sum, and s + A(s) otherwise. AdapterHub calls this `seq_bn`, or `original_ln_before`."""

    def insert(self, backbone: Backbone, layer: int, sublayer: Sublayer, adapter: nn.Module) -> None:
        """Puts `adapter` after the network, or at the end of the block."""
        from lnbench.backbone.insertion import insert_at_end, insert_before_norm

        if self.reads == "ffn":
            super().insert(backbone, layer, sublayer, adapter)
        elif norm := backbone.closing_norm(layer):
            insert_before_norm(norm, self.kind, adapter)
        else:
            insert_at_end(backbone.blocks[layer], self.kind, adapter)
