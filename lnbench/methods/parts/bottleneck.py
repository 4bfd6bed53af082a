"""The bottleneck adapter (Houlsby et al. 2019, arXiv 1902.00751), shared by all methods that insert one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from lnbench.backbone.tables import Sublayer
from lnbench.methods.base import Method, Size
from lnbench.methods.parts.layers import Layers, select_layers

if TYPE_CHECKING:
    from torch import nn

    from lnbench.backbone.backbone import Backbone


class BottleneckAdapter(Method):
    """A(x) = W_up f(W_down x + b_down) + b_up at one or two kinds of sublayers of each block.

    W_up starts at zero, so that tuning starts from the pretrained function (as LoRA does, and as
    He et al. 2022, arXiv 2110.04366, initialise their adapters).
    """

    kind: ClassVar[str]
    """Name of the method, and of the inserted modules."""
    gated: ClassVar[bool] = True
    sublayers: ClassVar[tuple[Sublayer, ...]]

    bottleneck: Size
    activation: Literal["relu", "gelu", "silu"]
    layers: Layers

    def attach(self, backbone: Backbone) -> list[nn.Parameter]:
        """Inserts the adapters, and claims their parameters."""
        from lnbench.methods.parts.bottleneck_network import Bottleneck

        claimed: list[nn.Parameter] = []
        for layer in select_layers(self.layers, backbone, f"method.{self.kind}.layers"):
            for sublayer in (one for kind in self.sublayers for one in backbone.parts_of(kind)):
                adapter = Bottleneck(backbone.config.hidden_size, self.bottleneck, self.activation)
                self.insert(backbone, layer, sublayer, adapter.to(backbone.model.device))
                claimed.extend(adapter.parameters())
        return claimed

    def insert(self, backbone: Backbone, layer: int, sublayer: Sublayer, adapter: nn.Module) -> None:
        """Inserts `adapter` at a sublayer of block `layer` (counted from 0)."""
        raise NotImplementedError


class SequentialAdapter(BottleneckAdapter):
    """y -> y + A(y), where y is the output of a sublayer."""

    def insert(self, backbone: Backbone, layer: int, sublayer: Sublayer, adapter: nn.Module) -> None:
        """Puts `adapter` after the sublayer's last linear map."""
        from lnbench.backbone.insertion import insert_sequential

        insert_sequential(backbone.output_of(sublayer, layer), self.kind, adapter)


class ParallelAdapter(BottleneckAdapter):
    """y -> y + s A(x), where y is the output of a sublayer and x its input (in pre-LN models after the norm)."""

    scale: Annotated[float, Field(gt=0)]
    """The factor s."""

    def insert(self, backbone: Backbone, layer: int, sublayer: Sublayer, adapter: nn.Module) -> None:
        """Puts `adapter` beside the whole sublayer."""
        from lnbench.backbone.insertion import insert_parallel

        source, target = backbone.reader_of(sublayer, layer), backbone.output_of(sublayer, layer)
        insert_parallel(source, target, self.kind, adapter, self.scale)
