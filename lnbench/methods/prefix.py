"""Prefix-tuning in every layer (Li & Liang 2021, arXiv 2101.00190; P-tuning v2, arXiv 2110.07602)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from lnbench.methods.base import Method, Size
from lnbench.methods.parts.layers import Layers, select_layers

if TYPE_CHECKING:
    from torch import nn

    from lnbench.backbone.backbone import Backbone


class Prefix(Method):
    """Attention over [P_K; K] and [P_V; V], with `length` trained keys and values before those of the text.

    The text's positions do not shift, so a prefix that attention ignores leaves the model as it was. (P-tuning v2's
    code shifts them by `length`.)
    """

    kind: ClassVar[str] = "prefix"
    gated: ClassVar[bool] = True

    length: Size
    """Number of prefix vectors in each layer. Self- and cross-attention of a decoder have this number each."""
    init_std: Annotated[float, Field(gt=0)]
    """Standard deviation of the initial P_K and P_V. Unused if an MLP computes them."""
    mlp_size: Size | None
    """Hidden size of an MLP that computes the keys and values, and is trained in their place. None is no MLP."""
    layers: Layers

    def attach(self, backbone: Backbone) -> list[nn.Parameter]:
        """Inserts the keys and values of each block, and claims them."""
        from lnbench.methods.parts.prefix_attention import use_prefix_attention
        from lnbench.methods.parts.prefix_vectors import NAME

        layers = select_layers(self.layers, backbone, "method.prefix.layers")
        places = [place for layer in layers for place in backbone.attentions(layer)]
        use_prefix_attention(backbone.model)
        new_prefix, claimed = self._maker(backbone)
        for place in places:
            prefix = new_prefix().to(backbone.model.device)
            place.add_module(NAME, prefix)
            claimed.extend(prefix.parameters())
        return claimed

    def _maker(self, backbone: Backbone) -> tuple[Callable[[], nn.Module], list[nn.Parameter]]:
        """A function that makes one layer's prefix, and the parameters that the prefixes of all layers share."""
        import torch

        from lnbench.methods.parts.prefix_vectors import (
            SHARED,
            GeneratedKeyValues,
            PrefixKeyValues,
            PrefixMlp,
            prefix_shape,
        )

        shape = prefix_shape(backbone, self.length)
        if self.mlp_size is None:
            return lambda: PrefixKeyValues(*(self.init_std * torch.randn(shape) for _ in range(2))), []
        mlp = PrefixMlp(self.length, backbone.config.hidden_size, self.mlp_size).to(backbone.model.device)
        backbone.base.add_module(SHARED, mlp)
        return lambda: GeneratedKeyValues(mlp, shape), list(mlp.parameters())
