"""LN-tuning (Qi et al. 2022, arXiv 2211.08682): the gain and bias of layer normalisation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from lnbench.methods.base import Method
from lnbench.methods.layers import Layers, select_layers
from lnbench.schema import ConfigError

if TYPE_CHECKING:
    from torch import nn

    from lnbench.backbone.backbone import Backbone

PARAMETER_OF = {"gain": "weight", "bias": "bias"}


class LayerNormTuning(Method):
    """Trains g and b of y = g * (x - mean(x)) / std(x) + b in the chosen norms.

    A norm without a bias (RMSNorm) has only its gain trained.
    """

    terms: Annotated[tuple[Literal["gain", "bias"], ...], Field(min_length=1)]
    norms: Annotated[tuple[Literal["mha", "ffn"], ...], Field(min_length=1)]
    """The norm after multi-head attention, the norm after the feed-forward network, or both."""
    layers: Layers
    norm_reading: Literal["position", "sublayer"]
    """What "after" means in pre-LN models: next on the residual stream, or belonging to the sublayer."""
    embedding_norm: bool
    """Also the norm that comes before all blocks' sublayers."""
    final_norm: bool
    """Also the norm after the last block; by `position` it is already the last norm after FFN."""

    def attach(self, backbone: Backbone) -> list[nn.Parameter]:
        """Claims the chosen terms of the chosen norms; inserts nothing."""
        chosen = (getattr(norm, PARAMETER_OF[term], None) for norm in self._norms(backbone) for term in self.terms)
        claimed = [parameter for parameter in chosen if parameter is not None]
        if not claimed:
            raise ConfigError(f"method.ln.terms = {list(self.terms)}: the norms of this model have none of these")
        return claimed

    def _norms(self, backbone: Backbone) -> list[nn.Module]:
        layers = select_layers(self.layers, backbone.num_layers, "method.ln.layers")
        norms = [backbone.norm_after(norm, layer, self.norm_reading) for layer in layers for norm in self.norms]
        if self.embedding_norm and (norm := backbone.norm_before_blocks(self.norm_reading)):
            norms.append(norm)
        if self.final_norm and (norm := backbone.final_norm()) and norm not in norms:
            norms.append(norm)
        return norms
