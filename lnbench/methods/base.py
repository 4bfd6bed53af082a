"""Base class of tuning methods: hyper-parameters, and the way to attach them to a backbone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
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
    GATE = 3
    """Scales what parts of earlier stages have inserted."""


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
    gated: ClassVar[bool] = False
    """True if `unipelt` can scale what the method adds."""
    one_device: ClassVar[bool] = False
    """True for a method that cannot be tuned in shares on several devices."""
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

    def check_sum(self, parts: Mapping[str, Method]) -> None:
        """Refuses sums in which the part has no meaning. Most parts have one in all sums.

        Args:
            parts: all parts of the sum by name, this one included.

        Raises:
            ConfigError: the part has no meaning beside the others.
        """

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

    def penalty(self, model: TunedModel) -> Tensor | None:
        """A scalar that is added to the loss, once in each optimiser step. Most parts have none.

        A part that has one is for `one_device`.
        """
        return None

    def after_step(self, model: TunedModel, step: int, steps: int) -> None:
        """Is called after each optimiser step, before validation. Most parts do nothing here.

        What a part must know to go on after an interruption, it keeps in buffers whose names end in `PROGRESS`.

        Args:
            model: the whole model. The gradients of the step are still in its parameters.
            step: number of steps done.
            steps: number of steps of the whole run.
        """


METHODS = Registry(Method, "lnbench.methods")
"""The methods that a configuration may name."""


def folding(parts: Mapping[str, Method]) -> list[str]:
    """Names of the parts that can be folded into the weights. None can if the input gates what they add."""
    if any(part.stage is Stage.GATE for part in parts.values()):
        return []
    return [name for name, part in parts.items() if part.folds]


def canonical_name(parts: Iterable[str]) -> str:
    """Name of a sum. It does not depend on the order in which the parts are given."""
    return SEPARATOR.join(sorted(parts))
