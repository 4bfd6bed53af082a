"""An edit of hidden states in a subspace, at some positions of the text (Wu et al. 2024, arXiv 2404.03592)."""

from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from lnbench.methods.parts.seen_text import SeenText


class Intervention(nn.Module):
    """R^T (W h + b - R h) at the first and last tokens of each text, and 0 elsewhere; R and W are (rank, size).

    The rows of R are orthonormal: R^T is the Q in the QR decomposition of a trained matrix, with the signs that make
    the diagonal of the other factor positive. W starts at R and b at 0, so that the edit starts at 0.
    """

    def __init__(self, text: SeenText, size: int, rank: int, first: int, last: int) -> None:
        """
        Args:
            text: knows where padding is.
            size: size of hidden states.
            rank: at most `size`.
            first, last: numbers of tokens. In a text with fewer tokens, all of them are edited.
        """
        super().__init__()
        self._unregistered = (text,)
        self.first, self.last = first, last
        self.basis = nn.Parameter(torch.randn(size, rank))
        self.weight = nn.Parameter(self.rotation().detach().clone())
        self.bias = nn.Parameter(torch.zeros(rank))

    def forward(self, states: Tensor) -> Tensor:
        """From (B, L, size) to the same shape."""
        rotation = self.rotation()
        edit = linear(linear(states, self.weight - rotation, self.bias), rotation.T)
        return edit.masked_fill(~self._chosen(states)[..., None], 0.0)

    def rotation(self) -> Tensor:
        """R."""
        kind = self.basis.device.type
        with torch.autocast(kind, enabled=False) if torch.amp.is_autocast_available(kind) else nullcontext():
            q, upper = torch.linalg.qr(self.basis)
            rotation: Tensor = (q * upper.diagonal(dim1=-2, dim2=-1).sign()).mT
        return rotation

    def _chosen(self, states: Tensor) -> Tensor:
        """(B, L) bool."""
        (text,) = self._unregistered
        mask = text.mask()
        from_start, from_end = mask.cumsum(1), mask.flip(1).cumsum(1).flip(1)
        return text.in_states(mask & ((from_start <= self.first) | (from_end <= self.last)), states)
