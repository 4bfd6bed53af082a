"""BitFit (Ben Zaken et al. 2022, arXiv 2106.10199): the bias terms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lnbench.methods.base import Method
from lnbench.methods.layers import Layers, select_layers
from lnbench.schema import ConfigError

if TYPE_CHECKING:
    from torch import nn

    from lnbench.backbone.backbone import Backbone


class BitFit(Method):
    """Trains every bias of the chosen blocks: of their linear layers and of their norms."""

    layers: Layers

    def attach(self, backbone: Backbone) -> list[nn.Parameter]:
        """Claims the biases; inserts nothing."""
        claimed = [
            parameter
            for layer in select_layers(self.layers, backbone.num_layers, "method.bitfit.layers")
            for name, parameter in backbone.pretrained[layer].items()
            if name.endswith("bias")
        ]
        if not claimed:
            raise ConfigError("method.bitfit: the blocks of this model have no biases")
        return claimed
