"""Adapters in the file format of HF peft (0.21): LN-tuning, LoRA and (IA)^3 out; LN-tuning and LoRA in."""

import json
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from lnbench.backbone.backbone import LinearMap
from lnbench.fsio import write_atomically
from lnbench.methods.linear_change import LowRankUpdate, Rescale, insert_update
from lnbench.schema import ConfigError
from lnbench.tuned import Tuned

PREFIX = "base_model.model."
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
LN = "ln_tuning_layers"
Inserted = TypeVar("Inserted", bound=nn.Module)


def export_peft(tuned: Tuned, folder: Path) -> None:
    """Writes an adapter that `PeftModel.from_pretrained` puts on the pretrained model, for identical hidden states.

    Raises:
        ConfigError: the method has no counterpart in peft, or is merged into the weights.
    """
    method = tuned.config.method_name
    if method not in EXPORTERS:
        raise ConfigError(f"method = {method}: has no peft format; {', '.join(EXPORTERS)} have one, sums have none")
    if tuned.config.model.grow_embedding:
        raise ConfigError(
            "model.grow_embedding = true: peft's format has no place for the rows that the embedding got; a merged "
            "model (--merged) has them"
        )
    settings, tensors = EXPORTERS[method](tuned)
    common = {
        "base_model_name_or_path": tuned.config.model.source,
        "inference_mode": True,
        "task_type": "CAUSAL_LM" if tuned.task.backbone == "causal_lm" else "FEATURE_EXTRACTION",
    }
    weights = {PREFIX + name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_atomically(folder / CONFIG, json.dumps(common | settings, indent=2) + "\n")
    write_atomically(folder / WEIGHTS, save(weights, {"format": "pt"}))


def import_peft(folder: Path, model: PreTrainedModel) -> list[str]:
    """Puts a peft adapter on a plain pretrained model, ready to go on training.

    Args:
        folder: with adapter_config.json and adapter_model.safetensors.
        model: the model that peft wrapped.

    Returns:
        Names of the parameters that hold the adapter; they alone require a gradient.

    Raises:
        ConfigError: the adapter is of another kind, or does not fit the model.
    """
    settings = json.loads((folder / CONFIG).read_text())
    importers = {"LN_TUNING": _import_ln, "LORA": _import_lora}
    if settings["peft_type"] not in importers:
        raise ConfigError(f"{folder / CONFIG}: peft_type = {settings['peft_type']!r}; known: {', '.join(importers)}")
    tensors = {name.removeprefix(PREFIX): tensor for name, tensor in load_file(folder / WEIGHTS).items()}
    model.requires_grad_(False)
    try:
        parameters = importers[settings["peft_type"]](settings, tensors, model)
    except (AttributeError, KeyError, RuntimeError) as error:
        raise ConfigError(f"{folder / WEIGHTS}: does not fit {type(model).__name__} ({error})") from error
    for parameter in parameters:
        parameter.requires_grad_(True)
    return [name for name, parameter in model.named_parameters() if parameter.requires_grad]


def _export_ln(tuned: Tuned) -> tuple[dict[str, Any], dict[str, Tensor]]:
    backbone = tuned.model.backbone
    norms = sorted({name.rpartition(".")[0] for name, p in backbone.named_parameters() if p.requires_grad})
    tensors: dict[str, Tensor] = {
        f"{norm}.{LN}.{term}": value
        for norm in norms
        for term, value in backbone.get_submodule(norm).named_parameters()
    }
    return {"peft_type": "LN_TUNING", "target_modules": norms}, tensors


def _import_ln(settings: Mapping[str, Any], tensors: Mapping[str, Tensor], model: nn.Module) -> list[nn.Parameter]:
    parameters = []
    for name, value in tensors.items():
        parameter = model.get_parameter(name.replace(f".{LN}.", "."))
        parameter.data.copy_(value)
        parameters.append(parameter)
    return parameters


def _export_lora(tuned: Tuned) -> tuple[dict[str, Any], dict[str, Tensor]]:
    updates: dict[str, list[LowRankUpdate]] = defaultdict(list)
    for name, module in _inserted(tuned, LowRankUpdate):
        updates[name.rpartition(".")[0]].append(module)
    tensors: dict[str, Tensor] = {}
    ranks: dict[str, int] = {}
    for layer, shared in updates.items():
        tensors[f"{layer}.lora_A.weight"] = torch.cat([update.a for update in shared])
        tensors[f"{layer}.lora_B.weight"] = torch.cat([update.unscaled_b() for update in shared], dim=1)
        ranks[layer] = len(tensors[f"{layer}.lora_A.weight"])
    scale = next(iter(updates.values()))[0].scale.item()
    settings = {
        "peft_type": "LORA",
        "target_modules": sorted(ranks),
        "r": max(ranks.values()),
        "lora_alpha": scale * max(ranks.values()),
        "rank_pattern": ranks,
        "alpha_pattern": {layer: scale * rank for layer, rank in ranks.items()},
        "fan_in_fan_out": _has_conv1d(tuned.model.backbone, ranks),
    }
    return settings, tensors


def _import_lora(settings: Mapping[str, Any], tensors: Mapping[str, Tensor], model: nn.Module) -> list[nn.Parameter]:
    if settings.get("use_dora") or settings.get("bias", "none") != "none":
        raise ConfigError(f"{CONFIG}: DoRA and LoRA with biases have no counterpart here")
    parameters: list[nn.Parameter] = []
    for name in sorted(name for name in tensors if name.endswith(".lora_A.weight")):
        layer = name.removesuffix(".lora_A.weight")
        a, b = tensors[name], tensors[f"{layer}.lora_B.weight"]
        host = model.get_submodule(layer)
        update = LowRankUpdate(LinearMap(host), len(a), _scale(settings, layer, len(a)), settings["lora_dropout"])
        update.load_state_dict({"a": a, "b": b})
        insert_update(host, "lora", update)
        parameters.extend(update.parameters())
    return parameters


def _scale(settings: Mapping[str, Any], layer: str, rank: int) -> float:
    patterns = settings.get("alpha_pattern", {})
    alpha = next((value for key, value in patterns.items() if layer == key or layer.endswith(f".{key}")), None)
    return (alpha or settings["lora_alpha"]) / (rank**0.5 if settings.get("use_rslora") else rank)


def _export_ia3(tuned: Tuned) -> tuple[dict[str, Any], dict[str, Tensor]]:
    tensors: dict[str, Tensor] = {}
    inner: set[str] = set()
    for name, module in _inserted(tuned, Rescale):
        layer = name.rpartition(".")[0]
        column = module.whole()[:, None]
        before = tensors.get(f"{layer}.ia3_l")
        if module.rows is None:
            inner.add(layer)
            tensors[f"{layer}.ia3_l"] = column.T
        else:
            tensors[f"{layer}.ia3_l"] = column if before is None else column * before
    layers = {name.removesuffix(".ia3_l") for name in tensors}
    settings = {
        "peft_type": "IA3",
        "target_modules": sorted(layers),
        "feedforward_modules": sorted(inner),
        "fan_in_fan_out": _has_conv1d(tuned.model.backbone, layers),
    }
    return settings, tensors


def _inserted(tuned: Tuned, kind: type[Inserted]) -> list[tuple[str, Inserted]]:
    """The method's modules by name."""
    found = [(name, module) for name, module in tuned.model.backbone.named_modules() if isinstance(module, kind)]
    if not found:
        raise ConfigError(
            f"method = {tuned.config.method_name}: is merged into the weights; load it without merged=True"
        )
    return found


def _has_conv1d(model: nn.Module, layers: Mapping[str, object] | set[str]) -> bool:
    return any(isinstance(model.get_submodule(layer), Conv1D) for layer in layers)


EXPORTERS = {"ia3": _export_ia3, "ln": _export_ln, "lora": _export_lora}
"""The methods that peft knows."""
