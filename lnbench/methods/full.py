"""Full fine-tuning: every parameter of the backbone."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from lnbench.methods.base import Method

if TYPE_CHECKING:
    from torch import nn

    from lnbench.backbone.backbone import Backbone


class Full(Method):
    """Trains all parameters of the backbone."""

    kind: ClassVar[str] = "full"
    exclusive: ClassVar[bool] = True

    @property
    def needs_weights(self) -> bool:
        """True, because it trains them."""
        return True

    def attach(self, backbone: Backbone) -> list[nn.Parameter]:
        """Claims everything."""
        return list(backbone.model.parameters())
