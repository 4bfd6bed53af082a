"""How far training moved the gains and biases of a model's norms, as a record holds it."""

from typing import Literal

from lnbench.core.schema import Schema

Norm = Literal["embedding", "first", "query", "key", "mha_output", "mha", "cross", "ffn_output", "ffn", "final"]
Term = Literal["gain", "bias"]


class NormShift(Schema):
    """How far one gain or bias w is from its pretrained value w0.

    A gain is what the norm multiplies by, also where the model stores how far it is from 1.
    """

    side: Literal["encoder", "decoder"] | None = None
    """Of an encoder-decoder."""
    layer: int
    """The block, counted from 1, after which (or after whose attention) the norm comes; 0: before all blocks."""
    norm: Norm
    """`mha` and `ffn`: on the residual stream; `cross`: after a decoder's attention to what the encoder yields;
    `mha_output` and `ffn_output`: of the sublayer's output, where there is such a norm beside; `first`: the first
    block's, where another one stands at the embeddings."""
    term: Term
    mean_abs: float
    """Mean of |w - w0| over the elements."""
    max_abs: float
    relative: float | None
    """||w - w0|| / ||w0||; None where w0 is 0 throughout."""
