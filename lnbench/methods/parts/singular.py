"""The singular vectors of pretrained weights. They are computed again whenever a model is built, and stored nowhere."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from lnbench.backbone.backbone import LinearMap
from lnbench.core.schema import ConfigError
from lnbench.methods.parts.linear_change import Rows, weight_of


class Singular(NamedTuple):
    """The first k singular values of a weight (outputs, inputs), largest first, with their vectors."""

    left: Tensor
    """(outputs, k)."""
    values: Tensor
    """(k,)."""
    right: Tensor
    """(k, inputs)."""


@torch.no_grad()
def singular(target: LinearMap, rank: int | None = None, setting: str = "") -> Singular:
    """Singular values and vectors of a linear map's weight, computed in double precision on the CPU.

    The largest entry of each right vector is positive. This makes the vectors of distinct values unique.

    Args:
        target: the linear map.
        rank: number of values; None: all.
        setting: setting that gives the rank, for the error message.

    Raises:
        ConfigError: the weight has fewer values.
    """
    weight = Rows(target).of(weight_of(target.layer))
    if rank is not None and rank > min(weight.shape):
        raise ConfigError(
            f"{setting} = {rank}: a map of {weight.shape[1]} inputs and {weight.shape[0]} outputs has "
            f"{min(weight.shape)} singular values; choose {min(weight.shape)} or less"
        )
    double = weight if weight.is_meta else weight.detach().cpu().double()
    left, values, right = torch.linalg.svd(double, full_matrices=False)
    left, values, right = left[:, :rank], values[:rank], right[:rank]
    signs = right.gather(1, right.abs().argmax(dim=1, keepdim=True)).sign()
    return Singular(*(tensor.to(weight).contiguous() for tensor in (left * signs.T, values, right * signs)))
