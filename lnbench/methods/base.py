"""What a tuning method is: hyper-parameters, and one verb that attaches them to a backbone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import IntEnum
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from lnbench.core.registry import Registry
from lnbench.core.schema import Schema

if TYPE_CHECKING:
    from torch import Tensor, nn

    from lnbench.backbone.backbone import Backbone
    from lnbench.backbone.tuned_model import TunedModel

SEPARATOR = "+"
MOST = 10_000
"""The largest size of what a method inserts: above all that is ever wanted, and below what memory cannot hold."""
Size = Annotated[int, Field(ge=1, le=MOST)]
"""How long or wide something is that a method inserts."""


class Stage(IntEnum):
    """In which order parts act where several of them change the output of the same layer."""

    WEIGHT = 0
    """Changes the layer's weights."""
    RESCALE = 1
    """Multiplies what the changed weights yield."""
    MODULE = 2
    """Puts a network of its own after or beside the layer."""


class Method(Schema):
    """One building block of tuning.

    A new method is a subclass in a file of this folder and a YAML file of the same name in
    `conf/method/`. Import torch inside `attach`, not at the top of the file, so that a mistyped
    override is answered at once.
    """

    kind: ClassVar[str]
    """The name by which configurations and the identities of runs know the class."""
    exclusive: ClassVar[bool] = False
    """True for a method that leaves nothing to add, and so cannot be part of a sum."""
    folds: ClassVar[bool] = False
    """True if what the method inserts can be folded into the pretrained weights after training."""
    stage: ClassVar[Stage] = Stage.MODULE
    """What comes first at a layer that several parts change: an adapter acts on what LoRA yields."""

    may_differ: ClassVar[frozenset[str]] = frozenset({"lr"})
    """Settings in which runs that train together may differ: the model does not know them, or has them in buffers
    without dimensions."""

    lr: Annotated[float, Field(gt=0, le=1)] = 1e-3
    """Learning rate of the parameters that this part claims."""

    @property
    def positions(self) -> int:
        """How many of the model's positions the part takes away from the text."""
        return 0

    def attach(self, backbone: Backbone) -> list[nn.Parameter]:
        """Makes `backbone`, whose parameters are all frozen, tunable.

        May insert modules at the backbone's roles, and changes no existing value.

        Returns:
            The parameters that this part claims, existing and inserted; the caller makes them
            trainable.
        """
        raise NotImplementedError

    def prepare(self, model: TunedModel, losses: Iterator[Tensor]) -> None:
        """Lets a part look at training data before training, to choose what it trains; most parts need none.

        Args:
            model: the whole model, at its start and in evaluation mode.
            losses: of training batches, each a scalar, computed when it is asked for.
        """


METHODS = Registry(Method, "lnbench.methods")
"""The methods that a configuration may name."""


def canonical_name(parts: Iterable[str]) -> str:
    """The name of a sum whatever the order in which its parts were given."""
    return SEPARATOR.join(sorted(parts))
