"""LN-tuning (Qi et al. 2022, arXiv 2211.08682): the gain and bias of layer normalisation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from lnbench.core.schema import ConfigError
from lnbench.methods.base import Method
from lnbench.methods.parts.layers import Layers, select_layers

if TYPE_CHECKING:
    from torch import nn

    from lnbench.backbone.backbone import Backbone

PARAMETER_OF = {"gain": "weight", "bias": "bias"}


class LayerNormTuning(Method):
    """Trains g and b of y = g * (x - mean(x)) / std(x) + b in the chosen norms.

    A norm without a bias (RMSNorm) has only its gain trained.
    """

    kind: ClassVar[str] = "ln"
    """Name of the method."""

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
        return [norm.get_parameter(name) for norm, name in self._places(backbone)]

    def _places(self, backbone: Backbone) -> list[tuple[nn.Module, str]]:
        """The norms, and the names of their terms."""
        names = [PARAMETER_OF[term] for term in self.terms]
        pairs = [(norm, name) for norm in self._norms(backbone) for name in names]
        places = [(norm, name) for norm, name in pairs if getattr(norm, name, None) is not None]
        if not places:
            raise ConfigError(
                f"method.{self.kind}.terms = {list(self.terms)}: the norms of this model have none of these"
            )
        return places

    def _norms(self, backbone: Backbone) -> list[nn.Module]:
        layers = select_layers(self.layers, backbone.num_layers, f"method.{self.kind}.layers")
        norms = [backbone.norm_after(norm, layer, self.norm_reading) for layer in layers for norm in self.norms]
        if self.embedding_norm and (norm := backbone.norm_before_blocks(self.norm_reading)):
            norms.append(norm)
        if self.final_norm and (norm := backbone.final_norm()) and norm not in norms:
            norms.append(norm)
        return norms
