"""Comparisons with HF peft of what changes weights, on layers of one map and of three, stacked and interleaved."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from typing import Any

import torch
from peft import AdaLoraConfig, BOFTConfig, LoraConfig, OFTConfig, PeftConfig, TaskType, VeraConfig, get_peft_model
from peft.tuners.boft import layer as boft_layer
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from lnbench.backbone.backbone import Backbone
from lnbench.backbone.tables import Map
from tests.parity.case import Case
from tests.parity.compare import Difference, Observation, Tensors, compare, observe, roughen
from tests.tiny import LAYERS, batch, part, tiny, trained, tune

ARCHITECTURES = ("bert", "gpt2", "gpt_neox", "llama", "phi3", "qwen3")
"""Layers with biases and without, transposed ones, grouped queries, and three maps in a layer in two orders."""
WITHOUT_CONV1D = ("bert", "gpt_neox", "llama", "phi3", "qwen3")
UNSHARED = ("bert", "llama", "mistral", "qwen3")
"""Those with a layer for each map, and others like them."""
ROLES: tuple[Map, ...] = ("query", "key", "value", "mha_output", "ffn_input", "ffn_output")
TARGETS = {"targets": ["q", "k", "v", "o", "ffn"]}
RANK, ALPHA, BLOCK, BUTTERFLY, FACTORS = 3, 7, 8, 4, 3


@dataclass(frozen=True)
class Place:
    """A linear map of a tiny model."""

    layer: str
    """Name of its layer."""
    role: Map
    rows: Tensor | None
    """Its outputs among those of its layer."""

    def of(self, values: Tensor) -> Tensor:
        """The map's share of a layer's outputs."""
        return values if self.rows is None else values[self.rows]


@dataclass(frozen=True)
class Models:
    """The same tiny model, tuned by peft and by lnbench, in double precision."""

    theirs: nn.Module
    ours: nn.Module
    places: list[Place]
    start: Tensors
    """What peft trains, at its start."""

    def inserted(self, method: str, place: Place) -> Tensors:
        """The parameters and buffers that lnbench has inserted in a place."""
        update = self.ours.get_submodule(f"{place.layer}.{method}_{place.role}")
        return {**dict(update.named_parameters()), **dict(update.named_buffers())}


@dataclass(frozen=True)
class Comparison:
    """How peft and lnbench each spell one method."""

    method: str
    config: Callable[[str], PeftConfig]
    """peft's configuration, from the pattern of the layers' names."""
    names: Mapping[str, str]
    """From our names of tensors to peft's, both within a layer."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Of the method in lnbench."""
    whole: tuple[str, ...] = ()
    """Those of our tensors that peft has once for all maps of a layer."""
    match: Callable[[Models], None] = lambda _: None
    """Makes equal what is frozen in both."""
    value: Callable[[Tensor], Tensor] = lambda tensor: tensor
    """From peft's values to ours."""
    architectures: tuple[str, ...] = ARCHITECTURES


def cases() -> list[Case]:
    """All comparisons."""
    return [
        Case(label, architecture, f"peft {version('peft')}", partial(run, comparison, architecture))
        for label, comparison in COMPARISONS.items()
        for architecture in comparison.architectures
    ]


def run(comparison: Comparison, architecture: str) -> Difference:
    """Compares on one architecture."""
    inputs = batch()
    models = tuned(comparison, architecture)
    roughen(trained(models.theirs))
    comparison.match(models)
    observed = observe(models.theirs, inputs)
    weights, gradients = (unwrapped(tensors) for tensors in (observed.weights, observed.gradients))

    def to_ours(weights: Tensors) -> Tensors:
        ours: dict[str, Tensor] = {}
        for place in models.places:
            for own, name in comparison.names.items():
                tensor = comparison.value(weights[f"{place.layer}.{name}"])
                whole = own in comparison.whole
                ours[f"{place.layer}.{comparison.method}_{place.role}.{own}"] = tensor if whole else place.of(tensor)
        return ours

    return compare(models.ours, inputs, Observation(weights, observed.outputs, gradients), to_ours)


def tuned(comparison: Comparison, architecture: str) -> Models:
    """Both models, at their start."""
    places = places_of(architecture)
    pattern = f"^({'|'.join(re.escape(place.layer) for place in places)})$"
    config = comparison.config(pattern)
    config.task_type = TaskType.FEATURE_EXTRACTION
    if isinstance(tiny(architecture).get_submodule(places[0].layer), Conv1D):
        config.fan_in_fan_out = True  # type: ignore[attr-defined]
    theirs = get_peft_model(tiny(architecture), config).double().eval()
    ours = tiny(architecture)
    tune(ours, {comparison.method: part(comparison.method, **TARGETS, **comparison.settings)})
    start = {name: tensor.detach().clone() for name, tensor in unwrapped(trained(theirs)).items()}
    return Models(theirs, ours.double(), places, start)


def unwrapped(tensors: Tensors) -> Tensors:
    """Takes off the names that peft's wrappers add."""
    return {re.sub(r"^base_model\.model\.|\.default\b", "", name): tensor for name, tensor in tensors.items()}


def places_of(architecture: str) -> list[Place]:
    """All linear maps of a tiny model."""
    view = Backbone(tiny(architecture))
    names = {module: name for name, module in view.model.named_modules()}
    return [
        Place(names[one.layer], role, one.rows)
        for role in ROLES
        for layer in range(LAYERS)
        for one in view.linear_maps(role, layer)
    ]


def _same_residual(models: Models) -> None:
    """PiSSA's frozen part, from peft's start. Peft computes it in single precision, and once for a layer of several."""
    plain = dict(models.theirs.named_modules())
    with torch.no_grad():
        for place in models.places:
            a, b = (models.start[f"{place.layer}.lora_{matrix}.weight"] for matrix in "AB")
            inserted = models.inserted("lora", place)
            inserted["right"].copy_(a * math.sqrt(ALPHA / RANK))
            inserted["left"].copy_(place.of(b) * math.sqrt(ALPHA / RANK))
            layer = plain[f"base_model.model.{place.layer}.base_layer"]
            pretrained = models.ours.get_submodule(place.layer).get_parameter("weight")
            delta = ALPHA / RANK * b @ a
            layer.get_parameter("weight").copy_(pretrained - (delta.T if isinstance(layer, Conv1D) else delta))


def _lora(pattern: str, **settings: Any) -> PeftConfig:
    return LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=pattern, **settings)


def _adalora(pattern: str) -> PeftConfig:
    """Peft divides alpha by a little more than the rank."""
    return AdaLoraConfig(init_r=RANK, target_r=RANK, lora_alpha=ALPHA, total_step=1, target_modules=pattern)


def _oft(pattern: str) -> PeftConfig:
    return OFTConfig(oft_block_size=BLOCK, target_modules=pattern, use_cayley_neumann=False)


class _BlockDiagonal:
    """What peft's CUDA kernel for BOFT computes. Without it, peft takes one factor whatever one asks for."""

    @staticmethod
    def forward(blocks: Tensor) -> list[Tensor]:
        """From (factors, blocks, size, size) to (factors, blocks * size, blocks * size)."""
        return [torch.stack([torch.block_diag(*factor) for factor in blocks])]

    @staticmethod
    def backward(gradient: Tensor, blocks: Tensor) -> list[Tensor]:
        """The gradient of the blocks."""
        _, count, size, _ = blocks.shape
        cut = gradient.unflatten(1, (count, size)).unflatten(3, (count, size))
        return [cut.diagonal(dim1=1, dim2=3).movedim(-1, 1)]


def _boft(pattern: str) -> PeftConfig:
    boft_layer._FBD_CUDA = _BlockDiagonal  # type: ignore[assignment]
    return BOFTConfig(boft_block_size=BUTTERFLY, boft_n_butterfly_factor=FACTORS, target_modules=pattern)


def _without_scales(models: Models) -> None:
    """Peft's BOFT also trains a scale for each output, which the paper's equation does not have."""
    for name, parameter in models.theirs.named_parameters():
        if "boft_s" in name:
            parameter.requires_grad_(False).fill_(1.0)


def _upper(blocks: Tensor) -> Tensor:
    """From any matrices, (factors, blocks, size, size), whose skew-symmetric parts peft takes, to ours."""
    skew = (blocks - blocks.mT).flatten(0, 1) / 2
    row, column = torch.triu_indices(BUTTERFLY, BUTTERFLY, offset=1)
    return skew[:, row, column]


def _vera(pattern: str) -> PeftConfig:
    return VeraConfig(r=RANK, target_modules=pattern, projection_prng_key=5)


A_AND_B = {"a": "lora_A.weight", "b": "lora_B.weight"}
LORA = {"rank": RANK, "alpha": ALPHA}
COMPARISONS = {
    "lora, dora": Comparison(
        "lora",
        partial(_lora, use_dora=True),
        A_AND_B | {"magnitude": "lora_magnitude_vector.weight"},
        LORA | {"dora": True},
        whole=("a",),
    ),
    "lora, pissa": Comparison(
        "lora",
        partial(_lora, init_lora_weights="pissa"),
        A_AND_B,
        LORA | {"pissa": True},
        whole=("a",),
        match=_same_residual,
    ),
    "lora_all, rslora": Comparison(
        "lora_all", partial(_lora, use_rslora=True), A_AND_B, LORA | {"rslora": True}, whole=("a",)
    ),
    "adalora": Comparison(
        "adalora",
        _adalora,
        {"p": "lora_B", "e": "lora_E", "q": "lora_A"},
        {"rank": RANK, "target_rank": RANK, "alpha": ALPHA * RANK / (RANK + 1e-5)},
        whole=("e", "q"),
        value=lambda tensor: tensor.squeeze(1),
    ),
    "oft": Comparison(
        "oft",
        _oft,
        {"skew": "oft_R.weight"},
        {"block_size": BLOCK},
        whole=("skew",),
        architectures=WITHOUT_CONV1D,
    ),
    "oft, butterfly": Comparison(
        "oft",
        _boft,
        {"skew": "boft_R"},
        {"block_size": BUTTERFLY, "butterfly": FACTORS},
        whole=("skew",),
        match=_without_scales,
        value=_upper,
        architectures=WITHOUT_CONV1D,
    ),
    "vera": Comparison(
        "vera",
        _vera,
        {"b": "vera_lambda_b", "d": "vera_lambda_d"},
        {"rank": RANK, "projection_seed": 5},
        whole=("d",),
        architectures=UNSHARED,
    ),
}
"""By label. Peft's OFT and BOFT take no transposed layers. Its VeRA has other projections for each map of a layer of
three."""
