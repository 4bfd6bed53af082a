"""LoRA on all linear maps of each block."""

from typing import ClassVar

from lnbench.methods.lora import Lora


class LoraAll(Lora):
    """`Lora` under a name of its own, so that both can be in a sum."""

    kind: ClassVar[str] = "lora_all"
