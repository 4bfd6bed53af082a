"""Comparisons with HF peft."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from typing import Any

import torch
from peft import (
    IA3Config,
    LNTuningConfig,
    LoraConfig,
    PeftConfig,
    PrefixTuningConfig,
    PromptTuningConfig,
    TaskType,
    get_peft_model,
)
from torch import nn

from tests.parity import peft_weights
from tests.parity.case import Case
from tests.parity.compare import Difference, Observation, Tensors, compare, observe, roughen
from tests.tiny import ARCHITECTURES, batch, part, tiny, trained, tune

LENGTH, MLP_SIZE, RANK, ALPHA = 5, 12, 3, 7
TASK = TaskType.FEATURE_EXTRACTION

NORMS = {"bert": r".*layer\.\d\.(attention\.)?output\.LayerNorm", "gpt2": r".*(h\.[12]\.ln_1|ln_2|ln_f)"}
LINEAR_MAPS = {"bert": r".*(query|key|value|layer\..*dense)", "gpt2": r".*(c_attn|c_proj|c_fc)"}
RESCALED = {"bert": r".*(key|value|\d\.output\.dense)", "gpt2": r".*(c_attn|mlp\.c_proj)"}
RESCALED_INPUT = {"bert": r".*\d\.output\.dense", "gpt2": r".*mlp\.c_proj"}


@dataclass(frozen=True)
class Comparison:
    """How peft and lnbench each spell one method."""

    method: str
    config: Callable[[str], PeftConfig]
    """peft's configuration for an architecture."""
    to_ours: Callable[[str, Tensors], Tensors]
    """From peft's weights for an architecture to ours."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Of the method in lnbench, where they differ from the shipped ones."""
    neutralise: Callable[[nn.Module], None] = lambda _: None
    """Gives those of peft's weights that lnbench has no counterpart of the value that does nothing."""
    common: Callable[[Tensors], Tensors] = dict
    """Leaves them out."""
    first_position: int = 0
    """Position that peft gives to the text's first token."""


def cases() -> list[Case]:
    """All comparisons, on every architecture."""
    return [
        Case(label, architecture, f"peft {version('peft')}", partial(_run, comparison, architecture))
        for label, comparison in COMPARISONS.items()
        for architecture in ARCHITECTURES
    ]


def _run(comparison: Comparison, architecture: str) -> Difference:
    inputs = batch()
    reference = _observe(comparison, architecture, inputs)
    ours = tiny(architecture)
    tune(ours, {comparison.method: part(comparison.method, **comparison.settings)})
    if comparison.first_position:
        positions = comparison.first_position + torch.arange(inputs["input_ids"].shape[1])
        inputs["position_ids"] = positions.expand_as(inputs["input_ids"])
    return compare(ours.double(), inputs, reference, partial(comparison.to_ours, architecture))


def _observe(comparison: Comparison, architecture: str, inputs: Tensors) -> Observation:
    model = get_peft_model(tiny(architecture), comparison.config(architecture)).double().eval()
    roughen(trained(model))
    comparison.neutralise(model)
    observed = observe(model, inputs)
    weights, gradients = (comparison.common(_unwrapped(tensors)) for tensors in (observed.weights, observed.gradients))
    return Observation(weights, observed.outputs, gradients)


def _unwrapped(tensors: Tensors) -> Tensors:
    """Takes off the names that peft's wrappers add."""
    return {re.sub(r"^base_model\.model\.|\.default\b", "", name): tensor for name, tensor in tensors.items()}


def _ln(architecture: str) -> PeftConfig:
    return LNTuningConfig(task_type=TASK, target_modules=NORMS[architecture])


def _lora(architecture: str, rslora: bool) -> PeftConfig:
    return LoraConfig(
        task_type=TASK,
        r=RANK,
        lora_alpha=ALPHA,
        use_rslora=rslora,
        target_modules=LINEAR_MAPS[architecture],
        fan_in_fan_out=architecture == "gpt2",
    )


def _ia3(architecture: str) -> PeftConfig:
    return IA3Config(
        task_type=TASK,
        target_modules=RESCALED[architecture],
        feedforward_modules=RESCALED_INPUT[architecture],
        fan_in_fan_out=architecture == "gpt2",
    )


def _prefix(_: str) -> PeftConfig:
    return PrefixTuningConfig(task_type=TASK, num_virtual_tokens=LENGTH)


def _prefix_mlp(_: str) -> PeftConfig:
    return PrefixTuningConfig(
        task_type=TASK, num_virtual_tokens=LENGTH, prefix_projection=True, encoder_hidden_size=MLP_SIZE
    )


def _prompt(_: str) -> PeftConfig:
    return PromptTuningConfig(task_type=TASK, num_virtual_tokens=LENGTH)


LORA = {"targets": ["q", "k", "v", "o", "ffn"], "rank": RANK, "alpha": ALPHA}
COMPARISONS = {
    "ln": Comparison("ln", _ln, peft_weights.ln),
    "lora": Comparison("lora", partial(_lora, rslora=False), peft_weights.lora, LORA),
    "lora, rslora": Comparison("lora", partial(_lora, rslora=True), peft_weights.lora, LORA | {"rslora": True}),
    "ia3": Comparison(
        "ia3",
        _ia3,
        peft_weights.ia3,
        neutralise=peft_weights.neutralise_ia3_of_queries,
        common=peft_weights.without_ia3_of_queries,
    ),
    "prefix": Comparison("prefix", _prefix, peft_weights.prefix, {"length": LENGTH}, first_position=LENGTH),
    "prefix, MLP": Comparison(
        "prefix", _prefix_mlp, peft_weights.prefix_mlp, {"length": LENGTH, "mlp_size": MLP_SIZE}, first_position=LENGTH
    ),
    "prompt": Comparison("prompt", _prompt, peft_weights.prompt, {"length": LENGTH}),
}
"""By label."""
