"""How a text is searched for."""

from typing import Annotated, Any

from pydantic import Field

from lnbench.core.schema import Schema

Count = Annotated[int, Field(ge=1)]


class BeamSearch(Schema):
    """Beam search, which draws nothing; with one beam, greedy search."""

    num_beams: Annotated[int, Field(ge=1, le=1_000)] = 5
    max_new_tokens: Count
    """After how many tokens a text ends at the latest."""
    length_penalty: float = 1.0
    """The power of its length by which a beam's log-probability is divided: the larger, the longer the text."""
    no_repeat_ngram_size: Annotated[int, Field(ge=0)] = 0
    """No sequence of so many tokens occurs twice in prompt and text; 0: any may."""
    batch_size: Count = 16
    """Texts that are searched for at a time."""

    def options(self) -> dict[str, Any]:
        """What transformers' `generate` takes."""
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
