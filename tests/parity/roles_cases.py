"""Comparisons with HF peft on every later architecture, its layers chosen by lnbench's role tables."""

import re
from collections.abc import Callable, Iterable
from functools import partial
from importlib.metadata import version
from typing import Any

from peft import (
    BeftConfig,
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

from lnbench.backbone.backbone import INNER, Backbone, head_size
from lnbench.backbone.tables import Map
from tests.parity.case import Case
from tests.parity.compare import Difference, Observation, Tensors, compare, observe, roughen
from tests.tiny import EVERY_ARCHITECTURE, LATER, LAYERS, batch, is_possible, part, tiny, trained, tune

TASK = TaskType.FEATURE_EXTRACTION
LENGTH, RANK, ALPHA = 5, 3, 7
ROLES: tuple[Map, ...] = ("query", "key", "value", "mha_output", "ffn_input", "ffn_output")
EVERY_NORM = {"embedding_norm": True, "final_norm": True}
EVERY_MAP = {"targets": ["q", "k", "v", "o", "ffn"], "rank": RANK, "alpha": ALPHA}
WITH_PREFIX = [
    *("camembert", "cohere", "gemma", "granite", "olmo", "olmo2", "phi", "phi3", "qwen2", "qwen3", "smollm3"),
    *("stablelm", "stablelm_parallel", "starcoder2", "xlm_roberta_xl"),
]
"""Architectures that take a prefix in HF peft; sliding windows, which there leave it behind, are none."""
WITH_IA3 = [
    *("camembert", "cohere", "cohere2", "eurobert", "gemma", "gemma2", "gemma3", "gpt_neo", "gptj", "granite"),
    *("mistral", "mpnet", "nomic_bert", "olmo", "olmo2", "olmo3", "phi", "qwen2", "qwen3", "smollm3", "stablelm"),
    *("starcoder2", "xlm_roberta_xl"),
]
"""Architectures whose keys and values are layers of their own: where they are not, peft rescales queries too."""
WITHOUT_BEFT = [
    *("bloom", "deberta", "falcon", "falcon_new", "falcon_rw", "gpt2", "gpt_neox", "modernbert", "phi3"),
]
"""Architectures whose queries, keys and values are one layer, where peft adds to all three."""
RESCALED: dict[Map, str] = {"key": "ia3_key", "value": "ia3_value", "ffn_output": "ia3_ffn"}
WITH_PROMPT = ["bloom", "gemma", "gemma3", "granite", "modernbert", "qwen3"]
"""One of each way in which words are embedded: with a norm, scaled inside and outside the embedding, as they are."""


def cases() -> list[Case]:
    """All comparisons."""
    reference = f"peft {version('peft')}"
    runs: dict[str, tuple[Callable[[str], Difference], Iterable[str]]] = {
        "beft": (_run_beft, [name for name in EVERY_ARCHITECTURE if name not in WITHOUT_BEFT]),
        "ia3": (_run_ia3, WITH_IA3),
        "ln": (_run_ln, LATER),
        "lora": (_run_lora, LATER),
        "prefix": (_run_prefix, WITH_PREFIX),
        "prompt": (_run_prompt, WITH_PROMPT),
    }
    return [
        Case(method, architecture, reference, partial(run, architecture))
        for method, (run, architectures) in runs.items()
        for architecture in architectures
        if is_possible(architecture, method)
    ]


def _run_ln(architecture: str) -> Difference:
    """All norms of the model, inside attention too."""
    view = Backbone(tiny(architecture))
    inner = [norm for name in INNER for layer in range(LAYERS) for norm in view.inner_norms(name, layer)]
    outer = [norm for layer in range(LAYERS) for norm in view.norms_of(layer)]
    around = [norm for norm in (*view.norms_before_blocks("position"), view.final_norm()) if norm is not None]
    norms = EVERY_NORM | {"norms": ["mha", "ffn", *(["inner"] if inner else [])]}
    config = LNTuningConfig(task_type=TASK, target_modules=_pattern(view, [*outer, *around]))
    return _run(architecture, config, {"ln": part("ln", **norms)}, _ln_to_ours)


def _ln_to_ours(weights: Tensors) -> Tensors:
    return {name.replace(".ln_tuning_layers", ""): weight for name, weight in weights.items()}


def _run_lora(architecture: str) -> Difference:
    """All linear maps; where peft shares one A between query, key and value, each of them has it."""
    view = Backbone(tiny(architecture))
    maps = [(role, one) for role in ROLES for layer in range(LAYERS) for one in view.linear_maps(role, layer)]
    names = {module: name for name, module in view.model.named_modules()}
    places = [(names[one.layer], role, one.rows) for role, one in maps]
    pattern = _pattern(view, [one.layer for _, one in maps])
    config = LoraConfig(task_type=TASK, r=RANK, lora_alpha=ALPHA, target_modules=pattern)

    def to_ours(weights: Tensors) -> Tensors:
        ours: dict[str, Tensor] = {}
        for layer, role, rows in places:
            ours[f"{layer}.lora_{role}.a"] = weights[f"{layer}.lora_A.weight"]
            b = weights[f"{layer}.lora_B.weight"]
            ours[f"{layer}.lora_{role}.b"] = b if rows is None else b[rows]
        return ours

    return _run(architecture, config, {"lora": part("lora", **EVERY_MAP)}, to_ours)


def _run_ia3(architecture: str) -> Difference:
    view = Backbone(tiny(architecture))
    names = {module: name for name, module in view.model.named_modules()}
    places = [
        (names[view.linear_maps(role, layer)[0].layer], inserted)
        for layer in range(LAYERS)
        for role, inserted in RESCALED.items()
    ]
    inner = [layer for layer, inserted in places if inserted == RESCALED["ffn_output"]]
    config = IA3Config(
        task_type=TASK, target_modules=[layer for layer, _ in places], feedforward_modules=inner, fan_in_fan_out=False
    )

    def to_ours(weights: Tensors) -> Tensors:
        return {f"{layer}.{inserted}.factors": weights[f"{layer}.ia3_l"].flatten() for layer, inserted in places}

    return _run(architecture, config, {"ia3": part("ia3")}, to_ours)


def _run_beft(architecture: str) -> Difference:
    """Biases of all values."""
    view = Backbone(tiny(architecture))
    names = {module: name for name, module in view.model.named_modules()}
    values = [view.linear_maps("value", layer)[0].layer for layer in range(view.num_layers)]
    config = BeftConfig(task_type=TASK, target_modules=_pattern(view, values))

    def to_ours(weights: Tensors) -> Tensors:
        return {f"{names[layer]}.beft_value.shift": weights[f"{names[layer]}.beft_bias"].flatten() for layer in values}

    return _run(architecture, config, {"beft": part("beft")}, to_ours)


def _run_prompt(architecture: str) -> Difference:
    config = PromptTuningConfig(task_type=TASK, num_virtual_tokens=LENGTH)

    def to_ours(weights: Tensors) -> Tensors:
        (embedding,) = weights.values()
        return {"prompt.vectors": embedding}

    return _run(architecture, config, {"prompt": part("prompt", length=LENGTH)}, to_ours)


def _run_prefix(architecture: str) -> Difference:
    view = Backbone(tiny(architecture))
    names = {module: name for name, module in view.model.named_modules()}
    size = head_size(view.config)

    def to_ours(weights: Tensors) -> Tensors:
        (embedding,) = weights.values()
        by_layer = embedding.view(LENGTH, LAYERS, 2, -1, size).permute(1, 2, 3, 0, 4)
        return {
            f"{names[view.attentions(layer)[0]]}.prefix.{name}": by_layer[layer, index]
            for layer in range(LAYERS)
            for index, name in enumerate(("key", "value"))
        }

    config = PrefixTuningConfig(task_type=TASK, num_virtual_tokens=LENGTH)
    return _run(architecture, config, {"prefix": part("prefix", length=LENGTH)}, to_ours)


def _run(
    architecture: str, config: PeftConfig, methods: dict[str, Any], to_ours: Callable[[Tensors], Tensors]
) -> Difference:
    inputs = batch()
    theirs = get_peft_model(tiny(architecture), config).double().eval()
    roughen(trained(theirs))
    observed = observe(theirs, inputs)
    weights, gradients = (unwrapped(tensors) for tensors in (observed.weights, observed.gradients))
    ours = tiny(architecture)
    tune(ours, methods)
    if "prefix" in methods:
        first = LENGTH + (ours.config.pad_token_id + 1 if Backbone(ours).table.reserved_positions else 0)
        positions = inputs["attention_mask"].cumsum(dim=1) - 1 + first
        inputs = {**inputs, "position_ids": positions}
    return compare(ours.double(), inputs, Observation(weights, observed.outputs, gradients), to_ours)


def _pattern(view: Backbone, modules: list[nn.Module]) -> str:
    names = {module: name for name, module in view.model.named_modules()}
    return f"^({'|'.join(re.escape(names[module]) for module in dict.fromkeys(modules))})$"


def unwrapped(tensors: Tensors) -> Tensors:
    return {re.sub(r"^base_model\.model\.|\.default\b", "", name): tensor for name, tensor in tensors.items()}
