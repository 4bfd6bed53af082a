"""Tuned models to be timed: lnbench's and Hugging Face's with peft, as trained, and merged where possible."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lnbench.config.run import RunConfig
from lnbench.core.seeding import seeded
from lnbench.methods.base import folding
from lnbench.methods.parts.linear_change import fold_changes
from lnbench.methods.parts.prefix_vectors import fold_prefixes
from lnbench.training.assemble import build_model
from scripts.throughput import hf_model

NOISE = 0.02
"""Standard deviation of the noise added to trained parameters, which keeps them from being exactly zero or one."""


@dataclass(frozen=True)
class Variant:
    """One model in evaluation mode."""

    framework: str
    method: str
    merged: bool
    model: nn.Module
    """Model that maps a batch's inputs to logits; lnbench's is a `TunedModel`."""


class LogitsOf(nn.Module):
    """Wraps a model of transformers to return its logits alone, as lnbench's models do."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, **inputs: Tensor) -> Tensor:
        """Logits, (B, classes)."""
        logits: Tensor = self.model(**inputs).logits
        return logits


def lnbench_variants(method: str, config: RunConfig) -> Iterator[Variant]:
    """The models that `lnbench.load` returns; the second is merged, if the method has something to merge."""
    model = build_model(config)
    make_ready(model, config.seed)
    fold_prefixes(model.backbone)
    yield Variant("lnbench", method, False, model)
    if folding(config.method):
        merged = copy.deepcopy(model)
        fold_changes(merged.backbone)
        yield Variant("lnbench", method, True, merged)


def hf_variants(method: str, config: RunConfig) -> Iterator[Variant]:
    """The models of peft, if it has the method.

    Args:
        method: method in `hf_model.METHODS`; for others there are no models.
        config: configuration of a classification of sentences, with a folder as its model.
    """
    if method in hf_model.METHODS:
        model: Any = hf_model.new_model(config)
        make_ready(model, config.seed)
        yield Variant("hf", method, False, LogitsOf(model))
        if method == "lora":
            yield Variant("hf", method, True, LogitsOf(copy.deepcopy(model).merge_and_unload()))


def make_ready(model: nn.Module, seed: int) -> None:
    """Moves trained parameters off their initial values, as training would, and ends training mode."""
    with seeded(seed, "bench_inference"), torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(NOISE * torch.randn_like(parameter))
    model.eval()
