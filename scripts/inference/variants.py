"""Tuned models to be timed: lnbench's and Hugging Face's with peft, as trained, and with all merged that can be."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lnbench.config.run import RunConfig
from lnbench.core.seeding import seeded
from lnbench.methods.parts.linear_change import fold_changes
from lnbench.methods.parts.prefix_vectors import fold_prefixes
from lnbench.training.assemble import build_model
from scripts.throughput import hf_model

NOISE = 0.02
"""Standard deviation of what is added to trained parameters, so that none is trivially zero or one."""


@dataclass(frozen=True)
class Variant:
    """One model in evaluation mode."""

    framework: str
    method: str
    merged: bool
    model: nn.Module
    """From a batch's inputs to logits; lnbench's is a `TunedModel`."""


class LogitsOf(nn.Module):
    """A model of transformers that returns its logits alone, as lnbench's models do."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, **inputs: Tensor) -> Tensor:
        """Logits, (B, classes)."""
        logits: Tensor = self.model(**inputs).logits
        return logits


def lnbench_variants(method: str, config: RunConfig) -> Iterator[Variant]:
    """As `lnbench.load` gives them, the second one merged where the method has something to merge."""
    model = build_model(config)
    make_ready(model, config.seed)
    fold_prefixes(model.backbone)
    yield Variant("lnbench", method, False, model)
    if any(part.folds for part in config.method.values()):
        merged = copy.deepcopy(model)
        fold_changes(merged.backbone)
        yield Variant("lnbench", method, True, merged)


def hf_variants(method: str, config: RunConfig) -> Iterator[Variant]:
    """Those of peft, where it has the method.

    Args:
        method: as in `hf_model.METHODS`; others yield nothing.
        config: of a classification of sentences, whose model is a folder.
    """
    if method in hf_model.METHODS:
        model: Any = hf_model.new_model(config)
        make_ready(model, config.seed)
        yield Variant("hf", method, False, LogitsOf(model))
        if method == "lora":
            yield Variant("hf", method, True, LogitsOf(copy.deepcopy(model).merge_and_unload()))


def make_ready(model: nn.Module, seed: int) -> None:
    """Moves trained parameters off their start, as training would, and ends training mode."""
    with seeded(seed, "bench_inference"), torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(NOISE * torch.randn_like(parameter))
    model.eval()
