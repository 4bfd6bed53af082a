"""The forward and backward pass of several runs at once."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import torch
from torch import Generator, Tensor, nn
from torch.func import functional_call, vmap

from lnbench.backbone.backbone import role_table
from lnbench.backbone.stack import Stack, stacked
from lnbench.backbone.tuned_model import TunedModel, inputs_of
from lnbench.tasks.base import Task
from lnbench.training.fused.padding import Batch, length_of, stack_batches


@dataclass(frozen=True)
class Own:
    """The tensors of a model that belong to one run. All other tensors are equal in all runs of a group."""

    trained: Mapping[str, nn.Parameter]
    """Trained parameters by name."""
    buffers: Mapping[str, Tensor]
    """Scalar buffers, such as the scale of LoRA, and the measured buffers of the head, by name."""

    @classmethod
    def of(cls, model: TunedModel) -> "Own":
        """Collects the tensors of a model. This takes too long to do it at every step."""
        scalars = {name: one for name, one in model.named_buffers() if one.ndim == 0}
        return cls(model.trained(), scalars | model.measured())


@dataclass(frozen=True, eq=False)
class Step:
    """The request of one run: its loss on a batch, and the gradient of its trained parameters."""

    model: TunedModel
    """Model in training mode."""
    own: Own
    """Tensors of the model that belong to the run."""
    task: Task
    batch: Batch
    pad_id: int
    generator: Generator
    """Generator of dropout on a CPU."""
    precision: Callable[[], AbstractContextManager[None]] = field(default=nullcontext)
    """Context in which the model is called."""


@dataclass(frozen=True)
class Learned:
    """The answer to a `Step`."""

    loss: Tensor
    """Scalar loss."""
    gradients: tuple[Tensor, ...]
    """Gradients of the trained parameters, in the order of `TunedModel.trained`. They are contiguous, because a fused
    optimiser needs this."""


def learn(steps: Sequence[Step]) -> list[Learned]:
    """Does the steps of R runs in one pass.

    Only the model of the first run is called, with the trained parameters and buffers of each run, and with R batches
    of B rows each, of any lengths. Losses and gradients equal those of each run alone, up to rounding. On a CPU the
    dropout masks are the same too.

    Args:
        steps: steps of models that can be stacked, with equally many rows.
    """
    first = steps[0]
    with torch.no_grad():
        parameters = _stacked([step.own.trained for step in steps])
    for tensor in parameters.values():
        tensor.requires_grad_()
    buffers = _stacked([step.own.buffers for step in steps])
    batch = stack_batches([step.batch for step in steps], first.pad_id)
    stack = Stack([length_of(step.batch) for step in steps], [step.generator for step in steps])

    def loss_of(own: dict[str, Tensor], batch: Batch) -> Tensor:
        logits = functional_call(first.model, own, kwargs=inputs_of(batch))
        return first.task.loss(logits, batch)

    randomness = "different" if batch["input_ids"].is_cuda else "error"
    with first.precision(), stacked(stack):
        losses = vmap(loss_of, randomness=randomness)(parameters | buffers, batch)
    gradients = torch.autograd.grad(losses.sum(), list(parameters.values()))
    by_run = zip(*(gradient.contiguous().unbind() for gradient in gradients), strict=True)
    return [Learned(loss, own) for loss, own in zip(losses.detach().unbind(), by_run, strict=True)]


def can_be_stacked(model: TunedModel, task: Task) -> bool:
    """Whether runs with such a model can share a pass without changing their results.

    This needs lnbench's own attention and dropout. Functional dropout is not lnbench's own, nor is the dropout of
    attention whose heads share keys. Language models cannot share a pass, because their loss picks tokens by their
    labels.
    """
    config = model.backbone.config
    table = role_table(config)
    own_attention = table.attention is not None
    shared_keys = getattr(config, "num_key_value_heads", None) is not None
    own_dropout = not table.functional_dropout and not (shared_keys and getattr(config, "attention_dropout", False))
    return own_attention and own_dropout and task.backbone == "headless"


def _stacked(tensors: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The tensors of all runs by name, (R, ...)."""
    return {name: torch.stack([own[name] for own in tensors]) for name in tensors[0]}
