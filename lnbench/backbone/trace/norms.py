"""Finds the norms of a model by what modules compute, and how they store their gains."""

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from lnbench.backbone.trace.record import Call, equal


def is_norm(call: Call) -> bool:
    """Whether a module normalises its input: its output does not change with the scale of the input."""
    if not _could_be(call):
        return False
    x = torch.randn(call.tensors[0].shape, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        try:
            once, twice = call.module.forward(x), call.module.forward(2 * x)
        except Exception:  # a module that takes more than one tensor
            return False
    return isinstance(once, Tensor) and equal(twice, once) and not equal(once, x)


def outermost(calls: list[Call]) -> list[Call]:
    """The norms among calls, without those inside another norm."""
    norms = [call for call in calls if is_norm(call)]
    return [one for one in norms if not any(one.path.startswith(f"{other.path}.") for other in norms)]


@torch.no_grad()
def gain_offset(call: Call) -> float | None:
    """The number that a norm adds to its weight to get the gain: 0 or 1; None: neither."""
    weights = [value for name, value in call.module.named_parameters() if name.rpartition(".")[2] == "weight"]
    if not weights:
        return None
    before = [weight.clone() for weight in weights]
    x = call.tensors[0].detach()
    yielded = []
    for value in (0.0, 1.0, 2.0):
        for weight in weights:
            weight.data.fill_(value)
        yielded.append(call.module.forward(x))
    for weight, old in zip(weights, before, strict=True):
        weight.data.copy_(old)
    none, one, two = yielded
    step = two - one
    for offset in (0.0, 1.0):
        if equal(one - none, step) and _is_normal(offset * step, none, step):
            return offset
    return None


def _is_normal(expected: Tensor, none: Tensor, step: Tensor) -> bool:
    """Whether a weight of 0 gives the expected output, up to a bias, which is the same for all tokens."""
    left = none - expected
    tokens = left.flatten(0, -2)
    return bool((tokens - tokens[:1]).abs().max() <= 1e-3 * step.abs().max())


def _could_be(call: Call) -> bool:
    if call.given is None or call.output is None or call.given.shape != call.output.shape:
        return False
    return not any(isinstance(part, nn.Linear | nn.Embedding | Conv1D) for part in call.module.modules())
