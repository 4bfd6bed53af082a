"""Prompt tuning (Lester et al. 2021, arXiv 2104.08691): trained vectors before the embedded text."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from lnbench.core.schema import ConfigError
from lnbench.methods.base import Method, Size

if TYPE_CHECKING:
    from torch import nn

    from lnbench.backbone.backbone import Backbone


class Prompt(Method):
    """f([p_1 .. p_P; E(x)]): `length` trained vectors at the input, in front of the text's embeddings.

    They start as the embeddings of random words (Lester et al.'s "sampled vocabulary"). The positions of the text shift
    by `length`, as in HF peft. In an encoder-decoder they are inputs of the encoder, and the decoder attends to the
    encoder's output for them too.
    """

    kind: ClassVar[str] = "prompt"

    length: Size

    @property
    def positions(self) -> int:
        """`length`."""
        return self.length

    def attach(self, backbone: Backbone) -> list[nn.Parameter]:
        """Inserts the vectors, and claims them."""
        import torch

        from lnbench.backbone.backbone import longest_text
        from lnbench.backbone.loading import LANGUAGE_MODELS
        from lnbench.methods.parts.prompt_embedding import PromptEmbedding, show_prompt

        if backbone.side == "decoder":
            show_prompt(backbone.body, self.length)
            return []
        longest = longest_text(backbone.config)
        if longest is not None and self.length >= longest:
            raise ConfigError(
                f"method.prompt.length = {self.length}: leaves no room for text; the model has {longest} positions"
            )
        embedding = backbone.model.get_input_embeddings()
        words = embedding.get_parameter("weight")
        with torch.no_grad():  # in the size that words have where the embedding scales them
            vectors = embedding(torch.randint(len(words), (self.length,)).to(words.device))
        decoder = backbone.config.model_type in LANGUAGE_MODELS
        prompt = PromptEmbedding(vectors, longest, decoder, kept=backbone.side is not None)
        prompt.insert_into(backbone.body)
        return [prompt.vectors]
