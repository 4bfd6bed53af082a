"""Linear probe: nothing but the task head."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from lnbench.methods.base import Method

if TYPE_CHECKING:
    from torch import nn

    from lnbench.backbone.backbone import Backbone


class HeadOnly(Method):
    """Leaves the backbone as it is. Only the task head trains, as it does with every method, here at the rate `lr`."""

    kind: ClassVar[str] = "head"
    exclusive: ClassVar[bool] = True

    def attach(self, backbone: Backbone) -> list[nn.Parameter]:
        """Claims nothing."""
        return []
