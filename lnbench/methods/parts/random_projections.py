"""Random matrices that all maps of a model share, drawn again from a seed whenever a model is built."""

import math

import torch
from torch import Tensor, nn

from lnbench.backbone.backbone import LinearMap
from lnbench.methods.parts.linear_change import FactoredUpdate, Rows


class RandomProjections(nn.Module):
    """A, (rank, inputs), and B, (outputs, rank), with uniform elements of the variance 2 / (number of columns).

    They are those of HF peft's VeRA with the same seed and sizes.
    """

    a: Tensor
    b: Tensor

    def __init__(self, rank: int, inputs: int, outputs: int, seed: int) -> None:
        super().__init__()
        generator = torch.Generator("cpu").manual_seed(seed)
        self.register_buffer("a", _uniform(rank, inputs, generator), persistent=False)
        self.register_buffer("b", _uniform(outputs, rank, generator), persistent=False)


class ScaledProjections(FactoredUpdate):
    """D = diag(b) B diag(d) A, with the first columns of A and the first rows of B."""

    def __init__(self, target: LinearMap, shared: RandomProjections, d_initial: float) -> None:
        super().__init__()
        self._unregistered = (shared,)
        self.b = nn.Parameter(torch.zeros(target.out_features))
        self.d = nn.Parameter(torch.full((len(shared.a),), d_initial))
        self.rows = Rows(target)
        self.in_features = target.in_features

    def factors(self) -> tuple[Tensor, Tensor]:
        """diag(d) A and diag(b) B."""
        (shared,) = self._unregistered
        a, b = shared.a[:, : self.in_features], shared.b[: len(self.b)]
        return self.d[:, None] * a, self.rows.spread(self.b[:, None] * b, elsewhere=0.0)


def _uniform(rows: int, columns: int, generator: torch.Generator) -> Tensor:
    bound = math.sqrt(6 / columns)
    matrix = torch.empty(rows, columns, device="cpu").uniform_(-bound, bound, generator=generator)
    return matrix.to(torch.get_default_device())
