"""Linear layers whose weight is a sum of Kronecker products (Zhang et al. 2021, arXiv 2102.08597)."""

import torch
from torch import Tensor, nn
from torch.nn.functional import linear


class KroneckerRule(nn.Module):
    """The matrices A_1 ... A_n, each (n, n), that many layers share. Only one module of the model may own them."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.factors = nn.Parameter(torch.randn(size, size, size) / size**0.5)


class KroneckerLinear(nn.Module):
    """W x + b with W the sum over i of A_i (x) s_i t_i^T, from (..., in_features) to (..., out_features).

    Both numbers of features must be multiples of n. At first, every entry of W has variance
    1 / in_features.
    """

    def __init__(self, rule: KroneckerRule, in_features: int, out_features: int) -> None:
        super().__init__()
        size = len(rule.factors)
        self._unregistered = (rule,)
        self.s = nn.Parameter(torch.randn(size, out_features // size))
        self.t = nn.Parameter(torch.randn(size, in_features // size) / in_features**0.5)
        self.bias = nn.Parameter(torch.zeros(out_features))

    def weight(self) -> Tensor:
        """W, (out_features, in_features)."""
        (rule,) = self._unregistered
        blocks = torch.einsum("iab,ip,iq->apbq", rule.factors, self.s, self.t)
        return blocks.flatten(2, 3).flatten(0, 1)

    def forward(self, x: Tensor) -> Tensor:
        """W x + b."""
        return linear(x, self.weight(), self.bias)
