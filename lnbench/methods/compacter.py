"""Compacter (Karimi Mahabadi et al. 2021, arXiv 2106.04647): adapters made of Kronecker products."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, get_args

from pydantic import AfterValidator, Field

from lnbench.core.schema import ConfigError
from lnbench.methods.base import Method, Size
from lnbench.methods.parts.layers import Layers, select_layers

if TYPE_CHECKING:
    from torch import nn

    from lnbench.backbone.backbone import Backbone
    from lnbench.methods.parts.kronecker import KroneckerRule


Kind = Literal["mha", "ffn"]


def _in_order(sublayers: tuple[Kind, ...]) -> tuple[Kind, ...]:
    return tuple(sublayer for sublayer in get_args(Kind) if sublayer in sublayers)


class Compacter(Method):
    """y -> y + W_up f(W_down y + b_down) + b_up, where both W are the sum over i of A_i (x) s_i t_i^T.

    The n matrices A_i, each (n, n), are the same in all adapters. W_up starts at zero, so that
    tuning starts from the pretrained function.
    """

    kind: ClassVar[str] = "compacter"

    sublayers: Annotated[tuple[Kind, ...], Field(min_length=1), AfterValidator(_in_order)]
    """Adapters after multi-head attention, after the feed-forward network (Compacter++), or both."""
    terms: Annotated[int, Field(ge=1, le=256)]
    """n, the number of Kronecker products in a sum; must divide the bottleneck and the hidden size. The matrices A_i
    have n^3 elements."""
    bottleneck: Size
    activation: Literal["relu", "gelu"]
    layers: Layers

    def attach(self, backbone: Backbone) -> list[nn.Parameter]:
        """Inserts the shared matrices once and an adapter after every chosen sublayer, and claims them."""
        from lnbench.backbone.insertion import insert_sequential
        from lnbench.methods.parts.kronecker import KroneckerRule

        self._check_sizes(backbone.config.hidden_size)
        rule = KroneckerRule(self.terms).to(backbone.model.device)
        backbone.base.add_module("compacter", rule)
        claimed = list(rule.parameters())
        for layer in select_layers(self.layers, backbone, "method.compacter.layers"):
            for sublayer in (one for kind in self.sublayers for one in backbone.parts_of(kind)):
                adapter = self._adapter(rule, backbone.config.hidden_size).to(backbone.model.device)
                insert_sequential(backbone.output_of(sublayer, layer), "compacter", adapter)
                claimed.extend(adapter.parameters())
        return claimed

    def _adapter(self, rule: KroneckerRule, hidden_size: int) -> nn.Sequential:
        from torch import nn
        from transformers.activations import ACT2FN

        from lnbench.methods.parts.kronecker import KroneckerLinear

        down = KroneckerLinear(rule, hidden_size, self.bottleneck)
        up = KroneckerLinear(rule, self.bottleneck, hidden_size)
        nn.init.zeros_(up.s)
        return nn.Sequential(down, ACT2FN[self.activation], up)

    def _check_sizes(self, hidden_size: int) -> None:
        for name, size in (("bottleneck", self.bottleneck), ("the model's hidden size", hidden_size)):
            if size % self.terms:
                raise ConfigError(f"method.compacter.terms = {self.terms}: must divide {name}, which is {size}")
