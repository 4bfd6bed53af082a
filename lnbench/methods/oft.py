"""OFT (Qiu et al. 2023, arXiv 2306.07280) and BOFT: orthogonal rotations of the inputs of linear maps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from lnbench.core.schema import ConfigError, Later
from lnbench.methods.base import MOST
from lnbench.methods.parts.weight_updates import WeightUpdates

if TYPE_CHECKING:
    from lnbench.backbone.backbone import LinearMap
    from lnbench.methods.parts.linear_change import Update


class Oft(WeightUpdates):
    """W -> W R^T, with R block-diagonal and each block (I - Q) (I + Q)^-1 for a trained skew-symmetric Q.

    With `butterfly`, R is a product of such matrices, whose blocks have inputs from ever farther apart.
    """

    kind: ClassVar[str] = "oft"

    block_size: Annotated[int, Field(ge=2, le=MOST)]
    """Size k of a block of R; must divide the number of a map's inputs."""
    butterfly: Later[Annotated[int, Field(ge=1, le=16)]] = 1
    """Number m of factors of R; several make it denser (BOFT, Liu et al. 2024, arXiv 2311.06243)."""

    @property
    def needs_weights(self) -> bool:
        """True, because it takes the rows of one map."""
        return True

    def update(self, target: LinearMap) -> Update:
        """The rotation of one map's inputs. It starts at the identity.

        Raises:
            ConfigError: the blocks do not fit the map's inputs.
        """
        from lnbench.methods.parts.rotation import Rotation

        name = f"method.{self.kind}.block_size"
        whole = self.block_size * 2 ** (self.butterfly - 1)
        if self.butterfly > 1 and self.block_size % 2:
            raise ConfigError(f"{name} = {self.block_size}: must be even if method.{self.kind}.butterfly is above 1")
        if target.in_features % whole:
            most = f" * 2^(butterfly - 1) = {whole}" if self.butterfly > 1 else ""
            raise ConfigError(
                f"{name} = {self.block_size}{most}: must divide the inputs of every map that it changes; "
                f"one has {target.in_features}"
            )
        return Rotation(target, self.block_size, self.butterfly)
