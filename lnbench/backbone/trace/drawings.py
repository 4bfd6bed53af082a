"""Finds the drawing of docs/models.md that fits a block, from what each part of the block reads."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from lnbench.backbone.trace.record import Call, by_token, equal

Placement = Literal["post", "pre", "parallel", "branch"]


@dataclass(frozen=True)
class Drawing:
    """The norms of a block by role, each a path relative to the block."""

    placement: Placement
    mha_norm: Call | None
    ffn_norm: Call | None
    mha_output_norm: Call | None = None
    ffn_output_norm: Call | None = None

    @property
    def norms(self) -> set[str]:
        """Paths of the norms that the drawing explains."""
        norms = (self.mha_norm, self.ffn_norm, self.mha_output_norm, self.ffn_output_norm)
        return {norm.path for norm in norms if norm is not None}


@dataclass(frozen=True)
class Sublayers:
    """The tensors at which a block's sublayers begin and end."""

    x: Tensor
    """The block's input."""
    y: Tensor
    """The block's output."""
    read_by_attention: Tensor
    attention: Tensor
    read_by_ffn: Tensor
    ffn: Tensor


def fitting(parts: Sublayers, norms: list[Call]) -> list[Drawing]:
    """The drawings that fit a block and use each of its norms."""
    x, y, a, f = parts.x, parts.y, parts.attention, parts.ffn
    before_a = [one for one in norms if equal(one.tensors[1], parts.read_by_attention)]
    before_f = [one for one in norms if equal(one.tensors[1], parts.read_by_ffn)]
    of_a = [one for one in norms if equal(one.tensors[0], a)]
    of_f = [one for one in norms if equal(one.tensors[0], f)]
    plain = equal(parts.read_by_attention, x)
    found = [
        Drawing("post", one, two)
        for one in before_f
        for two in norms
        if plain and _is_sum(one, x, a) and _is_sum(two, one.tensors[1], f) and equal(y, two.tensors[1])
    ]
    for one in before_a:
        for two in before_f:
            if not equal(one.tensors[0], x):
                continue
            if _is_sum(two, x, a) and adds(y, two.tensors[0], f):
                found.append(Drawing("pre", one, two))
            if equal(two.tensors[0], x) and adds(y, x, a, f):
                found.append(Drawing("parallel", one, two))
            found += [
                Drawing("pre", one, two, three, four)
                for three in of_a
                for four in of_f
                if _is_sum(two, x, three.tensors[1]) and adds(y, two.tensors[0], four.tensors[1])
            ]
    found += [
        Drawing("branch", one, two)
        for one in of_a
        for two in of_f
        if plain and adds(parts.read_by_ffn, x, one.tensors[1]) and adds(y, parts.read_by_ffn, two.tensors[1])
    ]
    return [one for one in found if one.norms == {norm.path for norm in norms}]


def adds(target: Tensor, stream: Tensor, *added: Tensor) -> bool:
    """Whether a tensor is the stream plus multiples of branches."""
    target, stream, *branches = (by_token(one) for one in (target, stream, *added))
    if any(one.shape != target.shape for one in (stream, *branches)):
        return False
    basis = torch.stack([one.detach().flatten() for one in branches], dim=1).double()
    left = (target - stream).detach().flatten().double()
    factors = torch.linalg.lstsq(basis, left[:, None]).solution
    return bool((factors.abs() > 1e-3).all()) and equal((basis @ factors).flatten(), left)


def _is_sum(norm: Call, stream: Tensor, branch: Tensor) -> bool:
    return adds(norm.tensors[0], stream, branch)
