"""Linear probe: trains only the task head."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from lnbench.methods.base import Method

if TYPE_CHECKING:
    from torch import nn

    from lnbench.backbone.backbone import Backbone


class HeadOnly(Method):
    """Trains only the task head, at the rate `lr`. The backbone does not change."""

    kind: ClassVar[str] = "head"
    exclusive: ClassVar[bool] = True

    def attach(self, backbone: Backbone) -> list[nn.Parameter]:
        """Claims nothing."""
        return []
