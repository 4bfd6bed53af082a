"""One method on one architecture, computed by lnbench and by somebody else."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from tests.parity.compare import Difference


@dataclass(frozen=True)
class Case:
    """A comparison that has not run yet."""

    method: str
    architecture: str
    reference: str
    """The other implementation."""
    compute: Callable[[], Difference]

    def run(self) -> Difference:
        """The difference, the same each time: the other implementation draws its first values at random."""
        torch.manual_seed(0)
        return self.compute()

    def __str__(self) -> str:
        return f"{self.method}-{self.architecture}"
