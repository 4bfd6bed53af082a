"""Base class of tuning methods: hyper-parameters, and the way to attach them to a backbone."""

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
"""Largest size of an inserted module. It is above all useful sizes, and below those that memory cannot hold."""
Size = Annotated[int, Field(ge=1, le=MOST)]
"""Length or width of an inserted module."""


class Stage(IntEnum):
    """Order in which parts act when several of them change the output of one layer."""

    WEIGHT = 0
    """Changes the layer's weights."""
    RESCALE = 1
    """Multiplies the output of the changed weights."""
    MODULE = 2
    """Puts its own network after or beside the layer."""


class Method(Schema):
    """One building block of tuning.

    A new method is a subclass in a file of this folder and a YAML file of the same name in
    `conf/method/`. Import torch inside `attach`, not at the top of the file, so that a mistyped
    override is answered at once.
    """

    kind: ClassVar[str]
    """Name of the class in configurations and in the identities of runs."""
    exclusive: ClassVar[bool] = False
    """True for a method that leaves nothing to add, so that it cannot be part of a sum."""
    folds: ClassVar[bool] = False
    """True if what the method inserts can be folded into the pretrained weights after training."""
    shifts: ClassVar[bool] = False
    """True if folding makes biases. A plain model whose layers have none cannot hold them."""
    stage: ClassVar[Stage] = Stage.MODULE
    """When the part acts at a layer that several parts change. An adapter, for example, acts on the output of LoRA."""

    may_differ: ClassVar[frozenset[str]] = frozenset({"lr"})
    """Settings that may differ between runs that train together. The model does not use them, or has them in buffers
    without dimensions."""

    lr: Annotated[float, Field(gt=0, le=1)] = 1e-3
    """Learning rate of the parameters that this part claims."""

    @property
    def positions(self) -> int:
        """Number of the model's positions that the part uses, so that texts lose them."""
        return 0

    @property
    def needs_weights(self) -> bool:
        """Whether the part trains pretrained weights of linear maps, or does more with them than multiply by them. They
        can then not be quantised."""
        return False

    def rate_multiple(self, parameter: str) -> float:
        """The learning rate of a parameter that the part claims, as a multiple of `lr`.

        Args:
            parameter: name of the parameter.
        """
        return 1.0

    def attach(self, backbone: Backbone) -> list[nn.Parameter]:
        """Makes `backbone`, whose parameters are all frozen, tunable.

        It may insert modules at the backbone's roles. It changes no existing value.

        Returns:
            The parameters that this part claims, existing and inserted. The caller makes them trainable.
        """
        raise NotImplementedError

    def prepare(self, model: TunedModel, losses: Iterator[Tensor]) -> None:
        """Lets a part choose what it trains by means of training data. Most parts do nothing here.

        Args:
            model: the whole model, at its start and in evaluation mode.
            losses: losses of training batches, each a scalar, computed when it is asked for.
        """


METHODS = Registry(Method, "lnbench.methods")
"""The methods that a configuration may name."""


def canonical_name(parts: Iterable[str]) -> str:
    """Name of a sum. It does not depend on the order in which the parts are given."""
    return SEPARATOR.join(sorted(parts))
