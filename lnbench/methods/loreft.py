"""LoReFT (Wu et al. 2024, arXiv 2404.03592): edits of the residual stream in a subspace, at some positions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field, model_validator

from lnbench.core.schema import ConfigError
from lnbench.methods.base import MOST, Method, Size
from lnbench.methods.parts.layers import Layers, select_layers

if TYPE_CHECKING:
    from torch import nn

    from lnbench.backbone.backbone import Backbone

Tokens = Annotated[int, Field(ge=0, le=MOST)]


class LoReft(Method):
    """h -> h + R^T (W h + b - R h), where h is the output of a block. R is (rank, D) and has orthonormal rows.

    It edits the first and the last tokens of a text, all with the same R, W and b. Padding and prompts are ignored. W
    starts at R, so tuning starts from the pretrained function. In the authors' code it starts at random numbers.
    """

    kind: ClassVar[str] = "loreft"
    one_device: ClassVar[bool] = True

    rank: Size
    first: Tokens
    """Number of tokens at the start of a text."""
    last: Tokens
    """Number of tokens at the end of a text. A language model has none, because its texts grow."""
    layers: Layers

    @model_validator(mode="after")
    def _check(self) -> LoReft:
        if not self.first + self.last:
            raise ValueError("first = 0: and last = 0 leave no position; one of them must be 1 or more")
        return self

    def attach(self, backbone: Backbone) -> list[nn.Parameter]:
        """Inserts R, W and b of each block, and claims them.

        Raises:
            ConfigError: the rank is above the size of the hidden states, or the end of a growing text is asked for.
        """
        from lnbench.backbone.insertion import insert_at_end
        from lnbench.methods.parts.intervention import Intervention
        from lnbench.methods.parts.seen_text import SeenText

        size = backbone.config.hidden_size
        if self.rank > size:
            raise ConfigError(f"method.loreft.rank = {self.rank}: must be at most {size}, the size of hidden states")
        if self.last and backbone.model is not backbone.base:
            raise ConfigError(
                f"method.loreft.last = {self.last}: must be 0 for a language model, whose texts grow as it writes; "
                f"type method.loreft.last=0"
            )
        text = SeenText(backbone.body)
        claimed: list[nn.Parameter] = []
        for layer in select_layers(self.layers, backbone, "method.loreft.layers"):
            edit = Intervention(text, size, self.rank, self.first, self.last).to(backbone.model.device)
            insert_at_end(backbone.blocks[layer], self.kind, edit)
            claimed.extend(edit.parameters())
        return claimed
