"""OFT (Qiu et al. 2023, arXiv 2306.07280): orthogonal rotations of what linear maps read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from lnbench.core.schema import ConfigError
from lnbench.methods.base import MOST
from lnbench.methods.parts.weight_updates import WeightUpdates

if TYPE_CHECKING:
    from lnbench.backbone.backbone import LinearMap
    from lnbench.methods.parts.linear_change import Update


class Oft(WeightUpdates):
    """W -> W R^T, with R block-diagonal and each block (I - Q) (I + Q)^-1 for a trained skew-symmetric Q."""

    kind: ClassVar[str] = "oft"

    block_size: Annotated[int, Field(ge=2, le=MOST)]
    """Size of a block of R; must divide the number of a map's inputs."""

    @property
    def needs_weights(self) -> bool:
        """Yes: it cuts out the rows of one map."""
        return True

    def update(self, target: LinearMap) -> Update:
        """The rotation of one map's inputs. It starts at the identity.

        Raises:
            ConfigError: the block size does not divide the map's inputs.
        """
        from lnbench.methods.parts.rotation import Rotation

        if target.in_features % self.block_size:
            raise ConfigError(
                f"method.{self.kind}.block_size = {self.block_size}: must divide the inputs of every map that it "
                f"changes; one has {target.in_features}"
            )
        return Rotation(target, self.block_size)
