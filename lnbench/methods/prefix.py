"""Prefix-tuning in every layer (Li & Liang 2021, arXiv 2101.00190; P-tuning v2, arXiv 2110.07602)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from lnbench.methods.base import Method
from lnbench.methods.layers import Layers, select_layers

if TYPE_CHECKING:
    from torch import nn

    from lnbench.backbone.backbone import Backbone


class Prefix(Method):
    """Attention over [P_K; K] and [P_V; V]: `length` trained keys and values before those of the text.

    The text's positions do not shift (P-tuning v2's code shifts them by `length`): a prefix that
    attention ignores leaves the model as it was.
    """

    length: Annotated[int, Field(ge=1)]
    """Number of prefix vectors in each layer."""
    init_std: Annotated[float, Field(gt=0)]
    layers: Layers

    def attach(self, backbone: Backbone) -> list[nn.Parameter]:
        """Inserts the keys and values of each block, and claims them."""
        from lnbench.methods.prefix_attention import PrefixKeyValues, use_prefix_attention

        use_prefix_attention(backbone.model)
        claimed: list[nn.Parameter] = []
        for layer in select_layers(self.layers, backbone.num_layers, "method.prefix.layers"):
            prefix = PrefixKeyValues(backbone.config, self.length, self.init_std).to(backbone.model.device)
            backbone.attention(layer).add_module("prefix", prefix)
            claimed.extend(prefix.parameters())
        return claimed
