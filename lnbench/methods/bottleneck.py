"""The bottleneck adapter (Houlsby et al. 2019, arXiv 1902.00751), shared by all methods that insert one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from lnbench.methods.base import Method
from lnbench.methods.layers import Layers, select_layers

if TYPE_CHECKING:
    from torch import nn

    from lnbench.backbone.backbone import Backbone


class SequentialAdapter(Method):
    """y -> y + W_up f(W_down y + b_down) + b_up on the output of one linear layer of each block.

    W_up starts at zero, so that tuning starts from the pretrained function (as LoRA does, and as
    He et al. 2022, arXiv 2110.04366, initialise their adapters).
    """

    role: ClassVar[Literal["mha_output", "ffn_output"]]
    part: ClassVar[str]
    """Name of the method, and of the inserted module."""

    bottleneck: Annotated[int, Field(ge=1)]
    activation: Literal["relu", "gelu"]
    layers: Layers

    def attach(self, backbone: Backbone) -> list[nn.Parameter]:
        """Inserts one adapter a block, and claims its parameters."""
        from lnbench.backbone.insertion import insert_sequential

        claimed: list[nn.Parameter] = []
        for layer in select_layers(self.layers, backbone.num_layers, f"method.{self.part}.layers"):
            adapter = new_bottleneck(backbone.config.hidden_size, self.bottleneck, self.activation)
            (output,) = backbone.linear_maps(self.role, layer)
            insert_sequential(output.layer, self.part, adapter.to(backbone.model.device))
            claimed.extend(adapter.parameters())
        return claimed


def new_bottleneck(hidden_size: int, bottleneck: int, activation: str) -> nn.Sequential:
    """W_up f(W_down x + b_down) + b_up, from (..., hidden_size) to (..., hidden_size), zero at first."""
    from torch import nn
    from transformers.activations import ACT2FN

    down, up = nn.Linear(hidden_size, bottleneck), nn.Linear(bottleneck, hidden_size)
    nn.init.kaiming_uniform_(down.weight, a=math.sqrt(5))
    for zero in (down.bias, up.weight, up.bias):
        nn.init.zeros_(zero)
    return nn.Sequential(down, ACT2FN[activation], up)
