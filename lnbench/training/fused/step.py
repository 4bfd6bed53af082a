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
    """What a run has for itself in its model, in which all else is equal in all runs."""

    trained: Mapping[str, nn.Parameter]
    """By name."""
    buffers: Mapping[str, Tensor]
    """Those without dimensions, such as the scale of LoRA, and what the head has measured, by name."""

    @classmethod
    def of(cls, model: TunedModel) -> "Own":
        """Looks through a model, which takes too long for every step."""
        scalars = {name: one for name, one in model.named_buffers() if one.ndim == 0}
        return cls(model.trained(), scalars | model.measured())


@dataclass(frozen=True, eq=False)
class Step:
    """What one run asks for: its loss on a batch, and the gradient of what it trains."""

    model: TunedModel
    """In training."""
    own: Own
    """Of the model."""
    task: Task
    batch: Batch
    pad_id: int
    generator: Generator
    """For dropout on a CPU."""
    precision: Callable[[], AbstractContextManager[None]] = field(default=nullcontext)
    """In which the model is called."""


@dataclass(frozen=True)
class Learned:
    """The answer to a `Step`."""

    loss: Tensor
    """A scalar."""
    gradients: tuple[Tensor, ...]
    """Of the trained parameters, in the order of `TunedModel.trained`; contiguous, as a fused optimiser needs them."""


def learn(steps: Sequence[Step]) -> list[Learned]:
    """Does the steps of R runs in one pass.

    The first run's model stands for all: it is called with the trained parameters and buffers of every
    run, and with R batches of B rows each, of any lengths. Losses and gradients are those that each
    run gets alone, up to rounding; on a CPU the masks of dropout are the same too.

    Args:
        steps: of models that can be stacked, with equally many rows.
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
    """Whether the passes of runs with such a model can be one, and each stay what it is alone.

    Attention must be lnbench's own, and all dropout too, which functional dropout, and that of attention whose heads
    share keys, is not. The loss of language models picks tokens by their labels.
    """
    config = model.backbone.config
    table = role_table(config)
    own_attention = table.attention is not None
    shared_keys = getattr(config, "num_key_value_heads", None) is not None
    own_dropout = not table.functional_dropout and not (shared_keys and getattr(config, "attention_dropout", False))
    return own_attention and own_dropout and task.backbone == "headless"


def _stacked(tensors: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Those of every run by name, (R, ...)."""
    return {name: torch.stack([own[name] for own in tensors]) for name in tensors[0]}
