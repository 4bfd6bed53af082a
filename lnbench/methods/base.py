"""Base class of tuning methods: their hyper-parameters, and how they are attached to a backbone."""

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
"""Largest size of an inserted module. All useful sizes are smaller, and this one still fits in memory."""
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
    """Scales the modules that parts of earlier stages have inserted."""


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
    """True if the inserted modules can be folded into the pretrained weights after training."""
    shifts: ClassVar[bool] = False
    """True if folding adds biases. A plain model whose layers have no biases cannot hold them."""
    gated: ClassVar[bool] = False
    """True if `unipelt` can scale what the method adds."""
    one_device: ClassVar[bool] = False
    """True for a method that cannot be trained on several devices."""
    stage: ClassVar[Stage] = Stage.MODULE
    """Order in which the part acts at a layer that several parts change. An adapter, for example, acts after LoRA."""

    may_differ: ClassVar[frozenset[str]] = frozenset({"lr"})
    """Settings that may differ between runs that train together. The model does not use them, or holds them in scalar
    buffers."""

    lr: Annotated[float, Field(gt=0, le=1)] = 1e-3
    """Learning rate of the parameters that this part claims."""

    @property
    def positions(self) -> int:
        """Number of the model's positions that the part uses. Texts can then use fewer."""
        return 0

    @property
    def needs_weights(self) -> bool:
        """Whether the part trains weights of linear maps, or uses them for more than products: no quantisation."""
        return False

    def check_sum(self, parts: Mapping[str, Method]) -> None:
        """Refuses sums that make no sense with this part. Most parts allow all sums.

        Args:
            parts: all parts of the sum by name, this one included.

        Raises:
            ConfigError: the part makes no sense with the others.
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
            The parameters that this part trains, existing and inserted ones. The caller makes them trainable.
        """
        raise NotImplementedError(f"the method {type(self).__name__} has no function attach")

    def prepare(self, model: TunedModel, losses: Iterator[Tensor]) -> None:
        """Lets a part use training data to choose what it trains. Most parts do nothing here.

        Args:
            model: the whole model, with its initial values and in evaluation mode.
            losses: losses of training batches, each a scalar, computed when it is asked for.
        """

    def penalty(self, model: TunedModel) -> Tensor | None:
        """A scalar that is added to the loss, once in each optimiser step; None for most parts.

        A part with a penalty must set `one_device`.
        """
        return None

    def after_step(self, model: TunedModel, step: int, steps: int) -> None:
        """Called after each optimiser step, before validation. Most parts do nothing here.

        State that a part needs after an interruption belongs in buffers whose names end in `PROGRESS`.

        Args:
            model: the whole model. The gradients of the step are still in its parameters.
            step: number of steps done.
            steps: number of steps of the whole run.
        """


METHODS = Registry(Method, "lnbench.methods")
"""The methods that a configuration may name."""


def folding(parts: Mapping[str, Method]) -> list[str]:
    """Names of the parts that can be folded into the weights. No part can if gates depend on the input."""
    if any(part.stage is Stage.GATE for part in parts.values()):
        return []
    return [name for name, part in parts.items() if part.folds]


def canonical_name(parts: Iterable[str]) -> str:
    """Name of a sum. It does not depend on the order in which the parts are given."""
    return SEPARATOR.join(sorted(parts))
