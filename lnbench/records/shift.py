"""The part of a record on how far training moved the gains and biases of a model's norms."""

from typing import Literal

from lnbench.core.schema import Schema

Norm = Literal[
    "embedding", "first", "other", "query", "key", "mha_output", "mha", "cross", "ffn_output", "ffn", "final"
]
Term = Literal["gain", "bias"]


class NormShift(Schema):
    """How far one gain or bias w is from its pretrained value w0.

    The gain is the factor of the norm, also in models that store the gain minus 1.
    """

    side: Literal["encoder", "decoder"] | None = None
    """Side of an encoder-decoder; None for other models."""
    layer: int
    """The block, counted from 1, after which (or after whose attention) the norm is; 0: before all blocks."""
    norm: Norm
    """`mha` and `ffn`: norms on the residual stream. `cross`: the norm after cross-attention. `mha_output` and
    `ffn_output`: further norms of the sublayers' outputs. `first`: the norm of the first block, if the embeddings have
    a norm too. `other`: a norm outside the blocks that is neither first nor last."""
    term: Term
    mean_abs: float
    """Mean of |w - w0| over the elements."""
    max_abs: float
    relative: float | None
    """||w - w0|| / ||w0||; None if all of w0 is 0."""
