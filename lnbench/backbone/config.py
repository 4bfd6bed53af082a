"""Settings of the pretrained model that a run tunes."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from lnbench.core.schema import Free, Later, Schema, in_home

MASK = "_trained"
"""Suffix of the buffer that masks which elements of a parameter are trained."""
PROGRESS = "_progress"
"""Suffix of a buffer that training needs to go on, and that the trained model does not use."""
BackboneKind = Literal["headless", "causal_lm"]
"""`causal_lm` is a language model: a decoder, or an encoder-decoder."""
Quantization = Literal["int8", "nf4"]


class ModelConfig(Schema):
    """Which pretrained model to tune, and how to get a sentence vector from it."""

    name: str
    source: Annotated[str, BeforeValidator(in_home)]
    """A hub id, a folder, or a folder of weights in a Python package.

    The last one is written `package:NAME/FOLDER`.
    """
    revision: str | None = None
    gguf_file: str | None = None
    """Name of a GGUF file in `source` to load model and tokenizer from; its weights become fp32."""
    quantization: Later[Quantization | None] = None
    """Bits in which the weights of the blocks' linear maps are stored: 8 (`int8`), 4 (`nf4`), or all (None)."""
    content: str | None = None
    """SHA-256 of the files of `source`, or its commit on the hub. It is found when a run is configured."""
    grow_embedding: bool = False
    """Add rows to the embedding for tokens that the tokenizer knows and the model does not embed. The new rows start at
    the mean of the others. Only methods that train the embedding (`full`) train them."""
    install: Free[str | None] = None
    """The command that installs the package of `source`, for the message when it is missing."""
    pooling: Literal["mean", "first", "last", "pooler"]
    """Mean over tokens, first token, last token, or the pretrained pooler (kept frozen)."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Dropout before the task head."""
    shape: Free[dict[str, bool | int | str] | None] = None
    """Sizes of the architecture, named as in transformers' configuration, to count parameters without a download.
    Tuning reads them from `source`."""
