"""Finds out what AdapterHub's `adapters` (1.0 to 1.3) has saved, and which method of lnbench computes the same."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from lnbench.backbone.backbone import Backbone
from lnbench.backbone.tuned_model import TunedModel
from lnbench.config.run import RunConfig
from lnbench.core.schema import ConfigError
from lnbench.core.sealed import read_json
from lnbench.exchange.adapterhub_format import Adapter, Reader
from lnbench.exchange.adapterhub_methods import readers
from lnbench.exchange.heads import HEAD_FILE, Unequal, from_transformers, pooling_of, put_plain_linear, read_head
from lnbench.exchange.importing import Base, Found, Part, Tensors
from lnbench.methods.base import SEPARATOR
from lnbench.tasks.parts.heads import SentenceHead
from lnbench.tasks.question_answering import ExtractiveQA

CONFIG = "adapter_config.json"
WEIGHTS, PICKLE = "adapter.safetensors", "pytorch_adapter.bin"
HEAD_CONFIG, HEAD, HEAD_PICKLE = "head_config.json", "model_head.safetensors", "pytorch_model_head.bin"

TO_SAFETENSORS = (
    'python -c "import sys, torch; from safetensors.torch import save_file; '
    'save_file({{k: v.clone() for k, v in torch.load(sys.argv[1], weights_only=True).items()}}, sys.argv[2])" '
    "{pickle} {weights}"
)


def wrote(about: Any) -> bool:
    """Whether the settings of an adapter are those of `adapters`."""
    return isinstance(about, dict) and "config" in about and "peft_type" not in about


def find(folder: Path, about: dict[str, Any]) -> Found:
    """The adapter in a folder.

    Args:
        folder: folder that `save_adapter` wrote.
        about: content of its adapter_config.json.

    Raises:
        ConfigError: it cannot be read, or has no counterpart in lnbench.
    """
    config = about["config"]
    if not isinstance(config, dict):
        raise ConfigError(
            f"{folder / CONFIG}: config = {config!r}: must be settings; load and save it with adapters 1.3"
        )
    try:
        chosen = readers(config, str(about.get("version", "")))
    except ConfigError as error:
        raise ConfigError(f"{folder / CONFIG}: {error}") from error
    except KeyError as error:
        raise ConfigError(f"{folder / CONFIG}: has no {error} in its config") from error
    adapter = Adapter(about["name"], _tensors(folder, WEIGHTS, PICKLE))
    base = Base(about.get("model_name") or None)
    method = SEPARATOR.join(sorted(chosen))
    return Found(method, base, partial(_adapt, chosen, adapter, about), partial(_fill_head, folder))


def _adapt(
    chosen: dict[str, Reader], adapter: Adapter, about: dict[str, Any], backbones: Sequence[Backbone]
) -> dict[str, Part]:
    if len(backbones) > 1:
        raise ConfigError("AdapterHub's adapters are not taken for encoder-decoders")
    [backbone] = backbones
    if (kind := about.get("model_type")) != backbone.config.model_type:
        raise ConfigError(
            f"the adapter is for the architecture {kind!r}, and the model is {backbone.config.model_type!r}"
        )
    parts = {name: read(adapter, backbone) for name, read in chosen.items()}
    if left := adapter.left:
        raise ConfigError(f"lnbench has no {', '.join(sorted(left)[:3])}")
    return parts


def _tensors(folder: Path, weights: str, pickle: str) -> Tensors:
    if not (folder / weights).is_file() and (folder / pickle).is_file():
        raise ConfigError(
            f"{folder / pickle}: is a pickle, which lnbench does not read; type "
            + TO_SAFETENSORS.format(pickle=folder / pickle, weights=folder / weights)
        )
    try:
        with safe_open(folder / weights, framework="pt") as file:
            names: list[str] = file.keys()
            return {name: file.get_tensor(name) for name in names}
    except (OSError, SafetensorError) as error:
        raise ConfigError(f"{folder / weights}: cannot be read ({error})") from error


def _fill_head(folder: Path, model: TunedModel, config: RunConfig) -> None:
    """Loads the task head that is saved with the adapter, or that is in a file of lnbench beside it."""
    about = read_json(folder / HEAD_CONFIG) if (folder / HEAD_CONFIG).is_file() else None
    tensors = _tensors(folder, HEAD, HEAD_PICKLE) if about else {}
    if not any(True for _ in model.head.parameters()):
        _check_pretrained(model, tensors)
    elif about:
        weight, bias = _linear(about, model, config, tensors)
        order = _order(about, getattr(config.task, "labels", []))
        put_plain_linear(model.head, *((weight[order], bias[order]) if order else (weight, bias)))
    elif (folder / HEAD_FILE).is_file():
        put_plain_linear(model.head, *read_head(folder / HEAD_FILE, model.head))
    else:
        raise Unequal(f"it has no task head: neither {HEAD_CONFIG} nor {HEAD_FILE}")


def _linear(about: dict[str, Any], model: TunedModel, config: RunConfig, tensors: Tensors) -> tuple[Tensor, Tensor]:
    """Weight and bias of the head: of a class of transformers, or of `adapters`."""
    settings = about.get("config")
    if settings is None:
        return from_transformers(config.task, model, {name: tensor.float() for name, tensor in tensors.items()})
    kind = "question_answering" if isinstance(config.task, ExtractiveQA) else "tagging"
    kind = "classification" if isinstance(model.head, SentenceHead) else kind
    if settings.get("head_type") != kind or settings.get("layers") != 1:
        raise Unequal(
            f"its head has head_type = {settings.get('head_type')!r}, layers = {settings.get('layers')!r}; the task "
            f"needs {kind!r} with 1"
        )
    if kind == "classification" and (pooling := "pooler" if settings["use_pooler"] else "first") != pooling_of(
        model.head
    ):
        raise Unequal(f"its head reads model.pooling={pooling}, and the task's {pooling_of(model.head)}")
    (weight,) = (tensor.float() for name, tensor in tensors.items() if name.endswith(".weight"))
    bias = next(
        (tensor.float() for name, tensor in tensors.items() if name.endswith(".bias")), torch.zeros(len(weight))
    )
    return weight, bias


def _order(about: dict[str, Any], labels: list[str]) -> list[int]:
    """For each label of the task, its row in the head. Empty if the head's names are others."""
    rows = (about.get("config") or about).get("label2id") or {}
    return [rows[label] for label in labels] if set(rows) == set(labels) else []


def _check_pretrained(model: TunedModel, tensors: Tensors) -> None:
    """Refuses a language model's head that was trained."""
    own = model.backbone.get_output_embeddings().weight
    for name, tensor in tensors.items():
        if tensor.shape != own.shape or not torch.equal(tensor.float(), own.detach().float()):
            raise Unequal(f"{name} of its head is not that of the pretrained model, and lnbench trains none")
