"""Writes adapters in the file format of HF peft (0.21): LN-tuning, LoRA, AdaLoRA, (IA)^3, OFT, VeRA and BEFT."""

import json
from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from safetensors.torch import save
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from lnbench.core.atomic_files import write_atomically
from lnbench.core.schema import ConfigError
from lnbench.exchange.heads import HEAD_FILE, TransformersHead, Unequal, as_transformers, plain_linear, save_head
from lnbench.exchange.tuned import Tuned
from lnbench.methods.parts.linear_change import Rescale, weight_of
from lnbench.methods.parts.lora_update import LowRankUpdate, MagnitudeUpdate
from lnbench.methods.parts.random_projections import ScaledProjections
from lnbench.methods.parts.rotation import Rotation
from lnbench.methods.parts.scale_and_shift import ScaleAndShift
from lnbench.methods.parts.triplets import TripletUpdate
from lnbench.methods.vera import Vera

ROOT, PREFIX = "base_model.", "base_model.model."
SHARED = ("vera_A", "vera_B")
"""Tensors that all layers of an adapter share. They are not part of the model."""
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
BASE = "base_model_content"
"""Key in the header of the weights for the content of the pretrained model, as in `model.content`."""
LN = "ln_tuning_layers"
Place = Literal["inside", "beside"]
"""Place of the task head, in the adapter or in a file of its own."""
Inserted = TypeVar("Inserted", bound=nn.Module)
InsertedUpdate = TypeVar("InsertedUpdate", Rotation, ScaledProjections)


def export_peft(tuned: Tuned, folder: Path, head: Place = "inside") -> None:
    """Writes an adapter for `PeftModel.from_pretrained`.

    Args:
        tuned: model with weights in fp32.
        folder: folder to create.
        head: place of the task head. `inside`: the adapter is for transformers' class of the task
            (`AutoModelForSequenceClassification`, `AutoModelForTokenClassification`, `AutoModelForQuestionAnswering`),
            which then gives the same logits. `beside`: the adapter is for `AutoModel`, which gives the same hidden
            states, and the head is in `head.safetensors`. A generator has no head and is for `AutoModelForCausalLM`, or
            for `AutoModelForSeq2SeqLM`.

    Raises:
        ConfigError: the method has no counterpart in peft, or is merged into the weights; or the head is to be inside,
            but transformers' class computes something else.
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
    writes = "SEQ_2_SEQ_LM" if tuned.model.backbone.config.is_encoder_decoder else "CAUSAL_LM"
    settings["task_type"] = writes if tuned.task.backbone == "causal_lm" else "FEATURE_EXTRACTION"
    if tuned.task.backbone != "causal_lm" and head == "inside":
        theirs = _head_inside(tuned)
        inside = {name if name in SHARED else theirs.prefix + name: tensor for name, tensor in tensors.items()}
        tensors = inside | theirs.tensors
        settings |= {"task_type": theirs.task_type, "modules_to_save": theirs.modules}
    elif tuned.task.backbone != "causal_lm":
        save_head(tuned.model.head, folder)
    model = tuned.config.model
    common = {"base_model_name_or_path": model.source, "revision": model.revision, "inference_mode": True}
    weights = {
        (ROOT if name in SHARED else PREFIX) + name: tensor.detach().cpu().contiguous()
        for name, tensor in tensors.items()
    }
    write_atomically(folder / CONFIG, json.dumps(common | settings, indent=2) + "\n")
    content = {BASE: model.content} if model.content else {}
    write_atomically(folder / WEIGHTS, save(weights, {"format": "pt", **content}))


def _head_inside(tuned: Tuned) -> TransformersHead:
    try:
        return as_transformers(tuned.task, tuned.model, *plain_linear(tuned.model.head))
    except Unequal as error:
        raise ConfigError(
            f"--peft: transformers has no class that gives the same logits: {error}. --head beside writes an adapter "
            f"for AutoModel and the head in {HEAD_FILE}; --merged writes a plain model and the same head"
        ) from error


def _export_ln(tuned: Tuned) -> tuple[dict[str, Any], dict[str, Tensor]]:
    backbone = tuned.model.backbone
    norms = sorted({name.rpartition(".")[0] for name, p in backbone.named_parameters() if p.requires_grad})
    tensors: dict[str, Tensor] = {
        f"{norm}.{LN}.{term}": value
        for norm in norms
        for term, value in backbone.get_submodule(norm).named_parameters()
    }
    return {"peft_type": "LN_TUNING", "target_modules": norms}, tensors


def _export_lora(
    tuned: Tuned, kind: type[LowRankUpdate | TripletUpdate] = LowRankUpdate
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Writes LoRA. AdaLoRA gets its first rank, and PiSSA twice its rank, for unchanged pretrained weights."""
    updates: dict[str, list[LowRankUpdate | TripletUpdate]] = defaultdict(list)
    for name, module in _inserted(tuned, kind):
        updates[name.rpartition(".")[0]].append(module)
    tensors: dict[str, Tensor] = {}
    ranks: dict[str, int] = {}
    with_lengths = False
    for layer, shared in updates.items():
        a, b = zip(*(update.low_rank() for update in shared), strict=True)
        tensors[f"{layer}.lora_A.weight"], tensors[f"{layer}.lora_B.weight"] = torch.cat(a), torch.cat(b, dim=1)
        ranks[layer] = len(tensors[f"{layer}.lora_A.weight"])
        lengths = torch.linalg.vector_norm(weight_of(tuned.model.backbone.get_submodule(layer)), dim=1)
        for update in shared:
            if isinstance(update, MagnitudeUpdate):
                with_lengths = True
                lengths = update.rows.put(update.magnitude, lengths)
                tensors[f"{layer}.lora_magnitude_vector"] = lengths
    scale = next(iter(updates.values()))[0].scale.item()
    settings = {
        "peft_type": "LORA",
        "target_modules": sorted(ranks),
        "r": max(ranks.values()),
        "lora_alpha": scale * max(ranks.values()),
        "rank_pattern": ranks,
        "alpha_pattern": {layer: scale * rank for layer, rank in ranks.items()},
        "fan_in_fan_out": _has_conv1d(tuned.model.backbone, ranks),
        "use_dora": with_lengths,
    }
    return settings, tensors


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


def _export_beft(tuned: Tuned) -> tuple[dict[str, Any], dict[str, Tensor]]:
    tensors: dict[str, Tensor] = {}
    for name, module in _inserted(tuned, ScaleAndShift):
        _, shift = module.whole()
        assert shift is not None
        tensors[f"{name.rpartition('.')[0]}.beft_bias"] = shift[None]
    layers = {name.removesuffix(".beft_bias") for name in tensors}
    if _has_conv1d(tuned.model.backbone, layers):
        raise ConfigError(
            f"method = beft: peft's BEFT takes no Conv1D, which {tuned.config.model.source} has; --merged writes a "
            f"plain model"
        )
    return {"peft_type": "BEFT", "target_modules": sorted(layers)}, tensors


def _export_oft(tuned: Tuned) -> tuple[dict[str, Any], dict[str, Tensor]]:
    rotations = _one_a_layer(tuned, Rotation)
    if (factors := next(iter(rotations.values())).factors) > 1:
        raise ConfigError(
            f"method.oft.butterfly = {factors}: peft's OFT has one factor, and its BOFT too where no CUDA compiler is; "
            f"--merged writes a plain model"
        )
    if _has_conv1d(tuned.model.backbone, set(rotations)):
        raise ConfigError("method = oft: peft's OFT takes no transposed layer (Conv1D), such as those of GPT-2")
    settings = {
        "peft_type": "OFT",
        "target_modules": sorted(rotations),
        "r": 0,
        "oft_block_size": next(iter(rotations.values())).block_size,
        "use_cayley_neumann": False,
    }
    return settings, {f"{layer}.oft_R.weight": rotation.skew for layer, rotation in rotations.items()}


def _export_vera(tuned: Tuned) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Writes the projections too. Peft draws the same from the same seed, but warns if they are missing."""
    updates = _one_a_layer(tuned, ScaledProjections)
    method = tuned.config.method["vera"]
    assert isinstance(method, Vera)
    settings = {
        "peft_type": "VERA",
        "target_modules": sorted(updates),
        "r": method.rank,
        "projection_prng_key": method.projection_seed,
        "save_projection": True,
        "d_initial": method.d_initial,
        "fan_in_fan_out": _has_conv1d(tuned.model.backbone, set(updates)),
    }
    shared = tuned.model.backbone.base_model.get_submodule("vera")
    tensors = {"vera_A": shared.get_buffer("a"), "vera_B": shared.get_buffer("b")}
    tensors |= {f"{layer}.vera_lambda_b": update.b for layer, update in updates.items()}
    return settings, tensors | {f"{layer}.vera_lambda_d": update.d for layer, update in updates.items()}


def _one_a_layer(tuned: Tuned, kind: type[InsertedUpdate]) -> dict[str, InsertedUpdate]:
    """The method's updates by layer, if every layer has exactly one.

    Raises:
        ConfigError: a layer has several.
    """
    updates: dict[str, InsertedUpdate] = {}
    for name, module in _inserted(tuned, kind):
        layer = name.rpartition(".")[0]
        if module.rows.index is not None:
            raise ConfigError(
                f"method = {tuned.config.method_name}: peft has one update for a whole layer, and {layer} holds "
                f"several maps, each with its own; --merged writes a plain model"
            )
        updates[layer] = module
    return updates


def _inserted(tuned: Tuned, kind: type[Inserted]) -> list[tuple[str, Inserted]]:
    """The method's inserted modules of a kind, with their names."""
    found = [(name, module) for name, module in tuned.model.backbone.named_modules() if isinstance(module, kind)]
    if not found:
        raise ConfigError(
            f"method = {tuned.config.method_name}: is merged into the weights; load it without merged=True"
        )
    return found


def _has_conv1d(model: nn.Module, layers: Mapping[str, object] | set[str]) -> bool:
    return any(isinstance(model.get_submodule(layer), Conv1D) for layer in layers)


EXPORTERS: dict[str, Callable[[Tuned], tuple[dict[str, Any], dict[str, Tensor]]]] = {
    "adalora": partial(_export_lora, kind=TripletUpdate),
    "beft": _export_beft,
    "ia3": _export_ia3,
    "ln": _export_ln,
    "lora": _export_lora,
    "lora_all": _export_lora,
    "oft": _export_oft,
    "vera": _export_vera,
}
"""Export functions of the methods that peft supports."""
