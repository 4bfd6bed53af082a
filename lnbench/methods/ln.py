"""LN-tuning (Qi et al. 2022, arXiv 2211.08682): the gain and bias of layer normalisation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from lnbench.backbone.tables import Sublayer
from lnbench.core.schema import ConfigError
from lnbench.methods.base import Method
from lnbench.methods.parts.layers import Layers, select_layers, sides_of

if TYPE_CHECKING:
    from torch import nn

    from lnbench.backbone.backbone import Backbone

Choice = Literal["mha", "ffn", "inner", "self", "cross"]
SUBLAYERS: dict[Choice, Sublayer] = {"mha": "mha", "self": "mha", "cross": "cross", "ffn": "ffn"}
PARAMETER_OF = {"gain": "weight", "bias": "bias"}


class LayerNormTuning(Method):
    """Trains g and b of y = g * (x - mean(x)) / std(x) + b in the chosen norms.

    A norm without a bias (RMSNorm) has only its gain trained.
    """

    kind: ClassVar[str] = "ln"
    """Name of the method."""

    terms: Annotated[tuple[Literal["gain", "bias"], ...], Field(min_length=1)]
    norms: Annotated[tuple[Choice, ...], Field(min_length=1)]
    """Norms to train: `mha` after multi-head attention, `ffn` after the feed-forward network, `inner` those of queries
    and keys inside attention. In an encoder-decoder, `mha` means all attention, `self` self-attention only, and `cross`
    cross-attention."""
    layers: Layers
    norm_reading: Literal["position", "sublayer"]
    """What "after" means in pre-LN models: next on the residual stream, or belonging to the sublayer."""
    embedding_norm: bool
    """Whether norms that follow no sublayer, such as that of the embeddings, are trained too."""
    final_norm: bool
    """Whether the norm after the last block is trained too. With `position` it already is the last norm after FFN."""

    def attach(self, backbone: Backbone) -> list[nn.Parameter]:
        """Claims the chosen terms of the chosen norms; inserts nothing."""
        return [norm.get_parameter(name) for norm, name in self._places(backbone)]

    def _places(self, backbone: Backbone) -> list[tuple[nn.Module, str]]:
        """The norms, and the names of their terms."""
        names = [PARAMETER_OF[term] for term in self.terms]
        pairs = [(norm, name) for norm in self._norms(backbone) for name in names]
        places = [(norm, name) for norm, name in pairs if getattr(norm, name, None) is not None]
        unnamed = backbone.side == "encoder" and "encoder" not in sides_of(self.layers)
        for_the_decoder = set(self.norms) == {"cross"} and unnamed
        if not places and not for_the_decoder:
            raise ConfigError(f"method.{self.kind}: {self._lack(backbone, [norm for norm, _ in pairs])}")
        return places

    def _lack(self, backbone: Backbone, norms: list[nn.Module]) -> str:
        """Why there is nothing to train."""
        architecture = f"the architecture {backbone.config.model_type!r}"
        if not norms:
            return f"{architecture} has no norms = {list(self.norms)} in layers = {self.layers!r}"
        if not any(list(norm.parameters()) for norm in norms):
            return f"the norms of {architecture} have no parameters"
        return f"the norms of {architecture} have nothing that terms = {list(self.terms)} names"

    def _norms(self, backbone: Backbone) -> list[nn.Module]:
        layers = select_layers(self.layers, backbone, f"method.{self.kind}.layers")
        self._check_norms(backbone, layers)
        norms = [norm for layer in layers for name in self.norms for norm in self._norms_named(backbone, name, layer)]
        if self.embedding_norm:
            norms += backbone.norms_before_blocks(self.norm_reading)
            norms += [norm for norm, _ in backbone.other_norms()]
        if self.final_norm and (norm := backbone.final_norm()):
            norms.append(norm)
        return list(dict.fromkeys(norms))

    def _norms_named(self, backbone: Backbone, name: Choice, layer: int) -> list[nn.Module]:
        if name == "inner":
            return [*backbone.inner_norms("query", layer), *backbone.inner_norms("key", layer)]
        sublayers = backbone.parts_of(SUBLAYERS[name])
        chosen = [one for one in sublayers if name != "self" or one == "mha"]
        return [norm for one in chosen for norm in backbone.norms_after(one, layer, self.norm_reading)]

    def _check_norms(self, backbone: Backbone, layers: list[int]) -> None:
        chosen = f"method.{self.kind}.norms = {list(self.norms)}: "
        architecture = f"the architecture {backbone.config.model_type!r}"
        if backbone.shares_norms and len({"mha", "ffn"} & set(self.norms)) == 1:
            raise ConfigError(
                f"{chosen}attention and the feed-forward network of {architecture} share one norm in each block; "
                f"choose both, mha and ffn"
            )
        if backbone.side is None and (alone := {"self", "cross"} & set(self.norms)):
            raise ConfigError(
                f"{chosen}{architecture} is no encoder-decoder, and has one attention in each block; leave out "
                f"{' and '.join(sorted(alone))}, and choose mha"
            )
        if "inner" in self.norms and not any(self._norms_named(backbone, "inner", layer) for layer in layers):
            raise ConfigError(f"{chosen}this model of {architecture} has no norms of queries and keys; leave out inner")
