"""Task heads as files, and as the heads of transformers' own classes."""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from transformers import (
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    PreTrainedModel,
)

from lnbench.backbone.loading import LANGUAGE_MODELS
from lnbench.backbone.tuned_model import TunedModel
from lnbench.core.atomic_files import write_atomically
from lnbench.core.schema import ConfigError
from lnbench.tasks.base import Task
from lnbench.tasks.parts.heads import SentenceHead, TokenHead
from lnbench.tasks.question_answering import ExtractiveQA

HEAD_FILE = "head.safetensors"
POOLING = "pooling"
"""Key in the header of such a file: the vector that the head reads; `none` for a head that reads every token."""
LINEAR = "classifier"
OWN = SentenceHead | TokenHead
TOKEN_LAYERS = ("classifier", "score", "qa_outputs")
"""Names of the linear layer that reads every token, in transformers' classes."""
ODD_PARTS = ("gelu", "relu", "silu")
"""Activations f with f(x) - f(-x) = x."""


@dataclass(frozen=True)
class SentenceForm:
    """How transformers' class for sentences computes logits."""

    pooling: str
    """The vector that the head reads, as a value of `model.pooling`."""
    last: str
    """Name of the linear layer that computes the logits."""
    first: str | None = None
    """Name of the linear layer before it: that of the pretrained pooler, or one with an activation after it."""


SENTENCE_FORMS = {
    "albert": SentenceForm("pooler", "classifier"),
    "bert": SentenceForm("pooler", "classifier"),
    "camembert": SentenceForm("pooler", "classifier.out_proj", "classifier.dense"),
    "deberta": SentenceForm("first", "classifier", "pooler.dense"),
    "deberta-v2": SentenceForm("first", "classifier", "pooler.dense"),
    "distilbert": SentenceForm("first", "classifier", "pre_classifier"),
    "electra": SentenceForm("first", "classifier.out_proj", "classifier.dense"),
    "mpnet": SentenceForm("pooler", "classifier.out_proj", "classifier.dense"),
    "roberta": SentenceForm("pooler", "classifier.out_proj", "classifier.dense"),
    "xlm-roberta": SentenceForm("pooler", "classifier.out_proj", "classifier.dense"),
    "xlm-roberta-xl": SentenceForm("pooler", "classifier.out_proj", "classifier.dense"),
}
"""The forms by architecture. Heads of decoders have no bias, so they cannot compute the same as ours."""


class Unequal(ConfigError):
    """A head that no class of transformers has."""


@dataclass(frozen=True)
class TransformersHead:
    """A task head in the form of one of transformers' model classes."""

    task_type: str
    """Peft's name of the kind of task."""
    prefix: str
    """Prefix of the backbone's parameters in the class, with a dot at its end."""
    tensors: dict[str, Tensor]
    """Tensors of the head, by their names in the class."""

    @property
    def modules(self) -> list[str]:
        """Names of the class's modules that make up the head."""
        return sorted({name.partition(".")[0] for name in self.tensors})


def plain_linear(head: nn.Module) -> tuple[Tensor, Tensor]:
    """The linear map that a head applies to each unchanged vector in evaluation: weight (C, D), bias (C,).

    Raises:
        Unequal: the head is of another kind.
    """
    if not isinstance(head, OWN):
        raise Unequal(f"{type(head).__name__} is no head of lnbench's own")
    linear = head.folded()
    return linear.weight.detach(), linear.bias.detach()


@torch.no_grad()
def put_plain_linear(head: nn.Module, weight: Tensor, bias: Tensor) -> None:
    """Makes a head apply this linear map to each unchanged vector: weight (C, D), bias (C,).

    Raises:
        Unequal: the head is of another kind, or for another number of classes.
    """
    if not isinstance(head, OWN):
        raise Unequal(f"{type(head).__name__} is no head of lnbench's own")
    if head.classifier.weight.shape != weight.shape:
        raise Unequal(f"a head of {len(weight)} classes, and the task has {len(head.classifier.bias)}")
    head.mean.zero_()
    head.scale.fill_(1)
    head.classifier.weight.copy_(weight)
    head.classifier.bias.copy_(bias)


def pooling_of(head: nn.Module) -> str:
    """The vector that a head reads; `none` for a head that reads every token."""
    return head.pooling if isinstance(head, SentenceHead) else "none"


def save_head(head: nn.Module, folder: Path) -> None:
    """Writes a head as `head.safetensors`: its linear map and the vector that it reads.

    Another kind of head is written with its own parameters. A task without a head gets no file.
    """
    if isinstance(head, OWN):
        tensors, about = _linear(LINEAR, *plain_linear(head)), {POOLING: pooling_of(head)}
    else:
        tensors, about = dict(head.state_dict()), {}
    if tensors:
        whole = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
        write_atomically(folder / HEAD_FILE, save(whole, {"format": "pt", **about}))


def read_head(file: Path, head: nn.Module) -> tuple[Tensor, Tensor]:
    """The linear map in a file that `save_head` wrote for a head like `head`: weight (C, D), bias (C,).

    Raises:
        Unequal: the file is of another kind of head, or cannot be read.
    """
    try:
        with safe_open(file, framework="pt") as opened:
            about = opened.metadata() or {}
            weight, bias = (opened.get_tensor(f"{LINEAR}.{leaf}") for leaf in ("weight", "bias"))
    except (OSError, SafetensorError) as error:
        raise Unequal(f"{file.name} cannot be read ({error})") from error
    if about.get(POOLING) != pooling_of(head):
        raise Unequal(f"{file.name} is for {POOLING} {about.get(POOLING)}, and the task's head for {pooling_of(head)}")
    return weight, bias


def as_transformers(task: Task, model: TunedModel, weight: Tensor, bias: Tensor) -> TransformersHead:
    """Turns a linear map into the head of transformers' class for the task and the backbone, with equal logits.

    Args:
        task: task that classifies texts or tokens, or answers questions.
        model: model whose head reads the vectors to which the map is applied.
        weight: (C, D).
        bias: (C,).

    Raises:
        Unequal: no class computes the same.
    """
    task_type, loader = _class_for(task, model.head)
    empty = _empty(loader, model.backbone, len(bias))
    if isinstance(model.head, SentenceHead):
        tensors = _sentence_head(empty, model, weight, bias)
    else:
        (name,) = (name for name in TOKEN_LAYERS if isinstance(getattr(empty, name, None), nn.Linear))
        tensors = _linear(name, weight, bias)
    expected = {name: empty.state_dict()[name].shape for name in tensors}
    if expected != {name: tensor.shape for name, tensor in tensors.items()}:
        raise Unequal(f"the head of {type(empty).__name__} has other sizes")
    return TransformersHead(task_type, f"{empty.base_model_prefix}.", tensors)


def from_transformers(task: Task, model: TunedModel, tensors: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """The inverse of `as_transformers`: weight (C, D) and bias (C,) from the tensors of a class's head.

    Raises:
        Unequal: the head is more than one linear map of the vector that `model.head` reads.
    """
    names = as_transformers(task, model, *plain_linear(model.head)).tensors
    if set(names) != set(tensors):
        different = ", ".join(sorted(set(names) ^ set(tensors)))
        raise Unequal(f"the adapter's head has other tensors than {', '.join(names)}: {different}")
    last = next(reversed(names)).rpartition(".")[0]
    form = SENTENCE_FORMS.get(model.backbone.config.model_type) if isinstance(model.head, SentenceHead) else None
    layer = form.first if form and form.first and form.pooling != "pooler" else last
    classes = len(tensors[f"{last}.bias"])
    weight, bias = tensors[f"{layer}.weight"][:classes], tensors[f"{layer}.bias"][:classes]
    made = as_transformers(task, model, weight, bias).tensors
    if unequal := [name for name, tensor in made.items() if not torch.equal(tensor, tensors[name])]:
        raise Unequal(f"the adapter's head is more than a linear layer: {', '.join(unequal)} was trained")
    return weight, bias


def _class_for(task: Task, head: nn.Module) -> tuple[str, Any]:
    if isinstance(head, SentenceHead):
        return "SEQ_CLS", AutoModelForSequenceClassification
    if isinstance(task, ExtractiveQA):
        return "QUESTION_ANS", AutoModelForQuestionAnswering
    return "TOKEN_CLS", AutoModelForTokenClassification


def _empty(loader: Any, backbone: PreTrainedModel, classes: int) -> PreTrainedModel:
    """Transformers' class for a backbone, without values."""
    config = copy.deepcopy(backbone.config)
    config.num_labels = classes
    try:
        with torch.device("meta"):
            model: PreTrainedModel = loader.from_config(config, attn_implementation="eager")
    except ValueError as error:
        raise Unequal(f"transformers has no {loader.__name__} for the architecture {config.model_type!r}") from error
    return model


def _sentence_head(empty: PreTrainedModel, model: TunedModel, weight: Tensor, bias: Tensor) -> dict[str, Tensor]:
    form, config = SENTENCE_FORMS.get(model.backbone.config.model_type), model.backbone.config
    name, pooling = type(empty).__name__, pooling_of(model.head)
    if form is None:
        decoder = config.model_type in LANGUAGE_MODELS
        raise Unequal(f"the head of {name} {'has no bias' if decoder else 'is more than a linear layer'}")
    if form.pooling != pooling:
        raise Unequal(f"{name} reads model.pooling={form.pooling}, and this head {pooling}")
    if form.first is None:
        return _linear(form.last, weight, bias)
    if form.pooling == "pooler":
        pooler = model.backbone.base_model.get_submodule("pooler.dense")
        own = (pooler.get_parameter(leaf).detach() for leaf in ("weight", "bias"))
        return {**_linear(form.first, *own), **_linear(form.last, weight, bias)}
    if getattr(config, "pooler_hidden_act", "gelu") not in ODD_PARTS:
        raise Unequal(f"{name} has the activation {config.pooler_hidden_act!r} before its last layer")
    if 2 * len(bias) > weight.shape[1]:
        raise Unequal(f"{name} has a layer of {weight.shape[1]} units, too small for {len(bias)} classes")
    return _through_activation(form, weight, bias)


def _through_activation(form: SentenceForm, weight: Tensor, bias: Tensor) -> dict[str, Tensor]:
    """W x + b as f(z) - f(-z) with z = W x + b: two units of the first layer for each class, and none of the others."""
    assert form.first
    classes, size = weight.shape
    first, offsets, last = weight.new_zeros(size, size), bias.new_zeros(size), weight.new_zeros(classes, size)
    first[: 2 * classes], offsets[: 2 * classes] = torch.cat([weight, -weight]), torch.cat([bias, -bias])
    unit = torch.eye(classes, dtype=weight.dtype, device=weight.device)
    last[:, : 2 * classes] = torch.cat([unit, -unit], dim=1)
    return {**_linear(form.first, first, offsets), **_linear(form.last, last, torch.zeros_like(bias))}


def _linear(name: str, weight: Tensor, bias: Tensor) -> dict[str, Tensor]:
    return {f"{name}.weight": weight, f"{name}.bias": bias}
