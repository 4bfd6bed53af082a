"""What a tuned model computes, and how far two implementations are apart.

Needs nothing but torch, so that it also runs beside the libraries that lnbench is compared with.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

TOLERANCE = 1e-9
"""Largest allowed difference; everything is computed in float64."""

Tensors = Mapping[str, Tensor]


@dataclass(frozen=True)
class Observation:
    """One forward and backward pass of a tuned model."""

    weights: Tensors
    """Trained tensors by name."""
    outputs: Tensor
    """Last hidden states at the real tokens, (tokens, hidden size)."""
    gradients: Tensors
    """Of the trained tensors."""


@dataclass(frozen=True)
class Difference:
    """Largest absolute differences between two observations of the same weights."""

    outputs: float
    gradients: float


def observe(model: nn.Module, inputs: Tensors) -> Observation:
    """Runs `model` forward and backward, with the weights it has."""
    weights = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    return _observation(weights, model(**inputs), inputs)


def compare(
    ours: nn.Module, inputs: Tensors, reference: Observation, to_ours: Callable[[Tensors], Tensors]
) -> Difference:
    """Runs `ours` with the reference's weights; gradients are taken with respect to the reference's tensors.

    Args:
        ours: a tuned model.
        inputs: its input_ids and attention_mask, (B, L).
        reference: the observation of the other implementation.
        to_ours: from the reference's weights to ours, by name; differentiable.
    """
    weights = {name: weight.detach().clone().requires_grad_() for name, weight in reference.weights.items()}
    translated = to_ours(weights)
    trained = {name: parameter.shape for name, parameter in ours.named_parameters() if parameter.requires_grad}
    assert {name: tensor.shape for name, tensor in translated.items()} == trained, "the translation misses tensors"
    observed = _observation(weights, functional_call(ours, dict(translated), kwargs=dict(inputs)), inputs)
    assert all(gradient.abs().sum() > 0 for gradient in reference.gradients.values()), "a reference gradient is zero"
    return Difference(
        outputs=_distance(observed.outputs, reference.outputs),
        gradients=max(_distance(observed.gradients[name], gradient) for name, gradient in reference.gradients.items()),
    )


def roughen(parameters: Tensors) -> None:
    """Moves weights to random places of the size that trained ones have; gains stay around 1."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for _, parameter in sorted(parameters.items()):
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype))


def _observation(weights: Tensors, output: Any, inputs: Tensors) -> Observation:
    mask = inputs["attention_mask"].bool()
    outputs = output.last_hidden_state[:, -mask.shape[1] :][mask]
    directions = torch.cos(torch.arange(outputs.numel(), dtype=outputs.dtype)).view_as(outputs)
    gradients = torch.autograd.grad((outputs * directions).sum(), list(weights.values()))
    detached = {name: weight.detach() for name, weight in weights.items()}
    return Observation(detached, outputs.detach(), dict(zip(weights, gradients, strict=True)))


def _distance(one: Tensor, other: Tensor) -> float:
    return (one - other).abs().max().item()
