"""Settings of the beam search that generates texts."""

from typing import Annotated, Any

from pydantic import Field

from lnbench.core.schema import Schema

Count = Annotated[int, Field(ge=1)]


class BeamSearch(Schema):
    """Beam search without sampling. With one beam, it is greedy search."""

    num_beams: Annotated[int, Field(ge=1, le=1_000)] = 5
    max_new_tokens: Count
    """Most tokens of a generated text."""
    length_penalty: float = 1.0
    """A beam's log-probability is divided by its length to this power. A larger power favours longer texts."""
    no_repeat_ngram_size: Annotated[int, Field(ge=0)] = 0
    """Length of token sequences that may not occur twice in prompt and text together. 0 allows all."""
    batch_size: Count = 16
    """Number of texts that are generated at a time."""

    def options(self) -> dict[str, Any]:
        """Arguments of transformers' `generate`."""
        options: dict[str, Any] = {
            "do_sample": False,
            "num_beams": self.num_beams,
            "max_new_tokens": self.max_new_tokens,
        }
        if self.num_beams > 1:
            options["length_penalty"] = self.length_penalty
        if self.no_repeat_ngram_size:
            options["no_repeat_ngram_size"] = self.no_repeat_ngram_size
        return options
