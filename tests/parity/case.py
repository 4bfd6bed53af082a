"""One method on one architecture, computed by lnbench and by somebody else."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.parity.compare import Difference


@dataclass(frozen=True)
class Case:
    """A comparison that has not run yet."""

    method: str
    architecture: str
    reference: str
    """The other implementation."""
    run: Callable[[], Difference]

    def __str__(self) -> str:
        return f"{self.method}-{self.architecture}"
