"""UniPELT (Mao et al. 2022, arXiv 2110.07577): learned gates of the other parts of a sum."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from lnbench.core.schema import ConfigError
from lnbench.methods.base import Method, Stage, canonical_name

if TYPE_CHECKING:
    from torch import nn

    from lnbench.backbone.backbone import Backbone


class UniPelt(Method):
    """Multiplies the change by LoRA, an adapter or a prefix by a gate: the mean over tokens of sigmoid(w x + v).

    Each inserted module has its own gate. x is the input of the module: that of the map which LoRA changes, that of the
    adapter, or for a prefix that of its layer's attention.
    """

    kind: ClassVar[str] = "unipelt"
    stage: ClassVar[Stage] = Stage.GATE

    def check_sum(self, parts: Mapping[str, Method]) -> None:
        """Checks that all other parts can be gated, and that there are some."""
        others = {name: part for name, part in parts.items() if not isinstance(part, UniPelt)}
        wrong = [name for name, part in others.items() if not part.gated]
        if wrong or not others:
            problem = f"{', '.join(wrong)} adds nothing that a gate can scale" if wrong else "unipelt needs other parts"
            raise ConfigError(
                f"method = {canonical_name(parts)}: {problem}; it gates lora, lora_all, prefix, adapter, mha_adapter, "
                f"houlsby, parallel_adapter and mha_parallel_adapter"
            )

    def attach(self, backbone: Backbone) -> list[nn.Parameter]:
        """Inserts a gate for each module that other parts have inserted, and claims its w and v.

        Raises:
            ConfigError: the model is a language model.
        """
        from lnbench.methods.parts.bottleneck_network import Bottleneck
        from lnbench.methods.parts.gates import Gate, GateOfPrefix, insert_gate
        from lnbench.methods.parts.lora_update import LowRankUpdate
        from lnbench.methods.parts.prefix_vectors import GATE, NAME
        from lnbench.methods.parts.seen_text import SeenText

        if backbone.model is not backbone.base:
            raise ConfigError(
                "method: unipelt has no place in a language model: its gates are means over the whole text, which a "
                "token must not see"
            )
        text, device = SeenText(backbone.body), backbone.model.device
        claimed: list[nn.Parameter] = []
        for layer, block in enumerate(backbone.blocks):
            for host in list(block.modules()):
                for name, child in list(host.named_children()):
                    if isinstance(child, LowRankUpdate | Bottleneck):
                        gate = Gate(text, child.in_features).to(device)
                        insert_gate(host, f"{self.kind}_{name}", gate, child)
                        claimed.extend(gate.parameters())
                    elif name == NAME:
                        value = backbone.linear_maps("value", layer)[0]
                        gate = GateOfPrefix(text, value.in_features, value.layer).to(device)
                        host.add_module(GATE, gate)
                        claimed.extend(gate.parameters())
        return claimed
