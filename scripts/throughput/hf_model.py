"""Hugging Face's own models with peft's methods, set as lnbench's are."""

from collections.abc import Callable
from typing import Any

import torch
from peft import LNTuningConfig, LoraConfig, PrefixTuningConfig, TaskType, get_peft_model
from torch import nn
from transformers import AutoModelForSequenceClassification, BitsAndBytesConfig, PreTrainedModel
from transformers.utils import logging

from lnbench.backbone.backbone import SUBLAYERS, Backbone
from lnbench.backbone.quantization import quantize
from lnbench.config.run import RunConfig
from lnbench.tasks.sequence_classification import SequenceClassification

QLORA = {
    "load_in_4bit": True,
    "bnb_4bit_quant_type": "nf4",
    "bnb_4bit_use_double_quant": True,
    "bnb_4bit_compute_dtype": torch.float32,
    "llm_int8_skip_modules": ["pooler.dense", "classifier", "score"],
}
"""Settings of QLoRA (arXiv 2305.14314) for the blocks, with computation in 32 bits."""


def new_model(config: RunConfig, bitsandbytes: bool = False) -> nn.Module:
    """A pretrained model with a new head, of which the method's parameters and the head are trained.

    Args:
        config: of a run whose method is in `METHODS`, and whose model is a folder. With `model.quantization`, the
            blocks' linear maps are stored as in lnbench.
        bitsandbytes: store them with bitsandbytes instead, in nf4 with quantised scales, as QLoRA does.
    """
    assert isinstance(config.task, SequenceClassification)
    logging.disable_progress_bar()
    options = {"quantization_config": BitsAndBytesConfig(**QLORA)} if bitsandbytes else {}
    model = AutoModelForSequenceClassification.from_pretrained(
        config.model.source, num_labels=len(config.task.labels), dtype=torch.float32, local_files_only=True, **options
    )
    if config.model.quantization and not bitsandbytes:
        quantize(model.base_model, config.model.quantization)
    ((name, part),) = config.method.items()
    return METHODS[name](model, part)


def _ln(model: PreTrainedModel, _: Any) -> nn.Module:
    """On the norms of the blocks alone: by default peft would train that of the embeddings too."""
    backbone = Backbone(model)
    norms = [
        norm
        for layer in range(backbone.num_layers)
        for sublayer in SUBLAYERS
        for norm in backbone.norms_after(sublayer, layer, "position")
    ]
    names = [name for name, module in model.named_modules() if any(module is norm for norm in norms)]
    return get_peft_model(model, LNTuningConfig(task_type=TaskType.SEQ_CLS, target_modules=names))


def _lora(model: PreTrainedModel, part: Any) -> nn.Module:
    settings = {"r": part.rank, "lora_alpha": part.alpha, "lora_dropout": part.dropout}
    return get_peft_model(model, LoraConfig(task_type=TaskType.SEQ_CLS, **settings))


def _prefix(model: PreTrainedModel, part: Any) -> nn.Module:
    return get_peft_model(model, PrefixTuningConfig(task_type=TaskType.SEQ_CLS, num_virtual_tokens=part.length))


def _bitfit(model: PreTrainedModel, _: Any) -> nn.Module:
    """Without peft, which has no such method."""
    model.base_model.requires_grad_(False)
    for block in Backbone(model).pretrained:
        for name, parameter in block.items():
            parameter.requires_grad_(name.endswith("bias"))
    return model


METHODS: dict[str, Callable[[PreTrainedModel, Any], nn.Module]] = {
    "ln": _ln,
    "bitfit": _bitfit,
    "lora": _lora,
    "prefix": _prefix,
    "full": lambda model, _: model,
}
"""By lnbench's name of the method."""
