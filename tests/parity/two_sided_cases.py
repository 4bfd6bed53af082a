"""Comparisons with HF peft on encoder-decoders, its layers chosen by lnbench's role tables."""

from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from types import SimpleNamespace
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
from torch import Tensor, nn
from transformers import PreTrainedModel

from lnbench.backbone.backbone import Backbone, views
from lnbench.backbone.tables import Map
from lnbench.methods.parts.prefix_vectors import NAME
from tests.parity.case import Case
from tests.parity.compare import Difference, Observation, Tensors, compare, observe, roughen
from tests.parity.roles_cases import ALPHA, EVERY_MAP, EVERY_NORM, LENGTH, RANK, RESCALED, ROLES, TASK, unwrapped
from tests.tiny import part, tiny, tiny_generator, trained, tune, two_texts

Rename = Callable[[Tensors], Tensors]


def cases() -> list[Case]:
    """All comparisons."""
    reference = f"peft {version('peft')}"
    runs = {"ln": _run_ln, "lora": _run_lora, "ia3": _run_ia3, "prompt": _run_prompt}
    found = [
        Case(method, architecture, reference, partial(run, architecture))
        for method, run in runs.items()
        for architecture in ("bart", "flan_t5", "pegasus", "t5")
    ]
    others = [
        Case("prefix of the decoder's self-attention", name, reference, partial(_run_prefix, name))
        for name in ("bart", "t5")
    ]
    return [*found, *others]


class Logits(nn.Module):
    """A language model, whose logits stand in the place of hidden states."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, **inputs: Tensor) -> SimpleNamespace:
        return SimpleNamespace(last_hidden_state=self.model(**inputs).logits)


def _run_ln(architecture: str) -> Difference:
    """All norms of both sides, which both readings train."""
    model = tiny(architecture)
    norms = [one for view in views(model) for one in view.base.modules() if "Norm" in type(one).__name__]
    config = LNTuningConfig(task_type=TASK, target_modules=_names(model, norms))

    def to_ours(weights: Tensors) -> Tensors:
        return {name.replace(".ln_tuning_layers", ""): weight for name, weight in weights.items()}

    return _run(architecture, config, {"ln": part("ln", **EVERY_NORM)}, to_ours)


def _run_lora(architecture: str) -> Difference:
    model = tiny(architecture)
    places = _places(model, ROLES)
    layers = [layer for layer, _ in places]
    config = LoraConfig(task_type=TASK, r=RANK, lora_alpha=ALPHA, target_modules=layers)

    def to_ours(weights: Tensors) -> Tensors:
        return {
            f"{layer}.lora_{role}.{ours}": weights[f"{layer}.lora_{theirs}.weight"]
            for layer, role in places
            for ours, theirs in (("a", "A"), ("b", "B"))
        }

    return _run(architecture, config, {"lora": part("lora", **EVERY_MAP)}, to_ours)


def _run_ia3(architecture: str) -> Difference:
    places = _places(tiny(architecture), tuple(RESCALED))
    inner = [layer for layer, role in places if role == "ffn_output"]
    layers = [layer for layer, _ in places]
    config = IA3Config(task_type=TASK, target_modules=layers, feedforward_modules=inner, fan_in_fan_out=False)

    def to_ours(weights: Tensors) -> Tensors:
        return {f"{layer}.{RESCALED[role]}.factors": weights[f"{layer}.ia3_l"].flatten() for layer, role in places}

    return _run(architecture, config, {"ia3": part("ia3")}, to_ours)


def _run_prompt(architecture: str) -> Difference:
    """In the encoder alone, which is peft's choice for a model without a head."""
    config = PromptTuningConfig(task_type=TASK, num_virtual_tokens=LENGTH, num_transformer_submodules=1)

    def to_ours(weights: Tensors) -> Tensors:
        (embedding,) = weights.values()
        return {"encoder.prompt.vectors": embedding}

    return _run(architecture, config, {"prompt": part("prompt", length=LENGTH)}, to_ours)


def _run_prefix(architecture: str) -> Difference:
    """peft has no other. It gives a prefix positions before the text's, of which T5's bias here knows nothing.

    Of its vectors, written twice one behind the other, it takes two for each layer and leaves out two: with three
    layers in another order, and with an even number of layers every other pair, for two layers each.
    """
    theirs, ours = (_without_bias(tiny_generator(architecture)) for _ in range(2))
    decoder = views(ours)[1]
    config = PrefixTuningConfig(
        task_type=TaskType.SEQ_2_SEQ_LM,
        num_virtual_tokens=LENGTH,
        num_layers=decoder.num_layers,
        num_attention_heads=decoder.heads,
        token_dim=decoder.linear_maps("key", 0)[0].out_features,
    )
    reference = _observe(Logits(get_peft_model(theirs, config).double().eval()))
    tune(ours, {"prefix": part("prefix", length=LENGTH, layers="decoder")})
    _shift_positions(ours)
    places = [decoder.attentions(layer) for layer in range(decoder.num_layers)]
    for _, cross in places:
        delattr(cross, NAME)
    names = {module: name for name, module in ours.named_modules()}

    def to_ours(weights: Tensors) -> Tensors:
        (embedding,) = weights.values()
        vectors = embedding.view(LENGTH, 2 * len(places), decoder.heads, -1).permute(1, 2, 0, 3)
        return {
            f"model.{names[own]}.{NAME}.{leaf}": vectors[(4 * layer + index) % len(vectors)]
            for layer, (own, _) in enumerate(places)
            for index, leaf in enumerate(("key", "value"))
        }

    return compare(Logits(ours.double().eval()), two_texts(), reference, to_ours)


def _without_bias(model: PreTrainedModel) -> PreTrainedModel:
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "relative_attention_bias" in name:
                parameter.zero_()
    return model


def _shift_positions(model: PreTrainedModel) -> None:
    """Gives the first token of a target the position that comes after a prefix."""
    positions = getattr(views(model)[1].base, "embed_positions", None)
    if positions is not None:
        with torch.no_grad():
            positions.weight.copy_(positions.weight.roll(-LENGTH, 0))


def _run(architecture: str, config: PeftConfig, methods: dict[str, Any], to_ours: Rename) -> Difference:
    reference = _observe(get_peft_model(tiny(architecture), config).double().eval())
    ours = tiny(architecture)
    tune(ours, methods)
    return compare(ours.double(), two_texts(), reference, to_ours)


def _observe(theirs: nn.Module) -> Observation:
    roughen(trained(theirs))
    observed = observe(theirs, two_texts())
    return Observation(unwrapped(observed.weights), observed.outputs, unwrapped(observed.gradients))


def _places(model: PreTrainedModel, roles: tuple[Map, ...]) -> list[tuple[str, Map]]:
    """The names of linear layers, each with its role."""
    names = {module: name for name, module in model.named_modules()}

    def of(view: Backbone) -> list[tuple[str, Map]]:
        layers = range(view.num_layers)
        return [(names[one.layer], role) for role in roles for layer in layers for one in view.linear_maps(role, layer)]

    return [place for view in views(model) for place in of(view)]


def _names(model: PreTrainedModel, modules: list[nn.Module]) -> list[str]:
    names = {module: name for name, module in model.named_modules()}
    return [names[module] for module in modules]
