"""Tiny models with random weights, and methods with their shipped settings."""

from collections.abc import Iterable
from typing import Any

import torch
from omegaconf import OmegaConf
from torch import Tensor, nn
from transformers import (
    BertConfig,
    BertModel,
    GPT2Config,
    GPT2LMHeadModel,
    GPT2Model,
    PreTrainedConfig,
    PreTrainedModel,
)

from lnbench.backbone.backbone import Backbone
from lnbench.compose import config_dir
from lnbench.methods.attach import attach
from lnbench.methods.base import SEPARATOR, Method
from lnbench.schema import parse_target

HIDDEN, LAYERS, HEADS, FFN, VOCABULARY = 32, 3, 4, 64, 100

CONFIGS: dict[str, PreTrainedConfig] = {
    "bert": BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=HIDDEN,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        intermediate_size=FFN,
    ),
    "gpt2": GPT2Config(vocab_size=VOCABULARY, n_embd=HIDDEN, n_layer=LAYERS, n_head=HEADS, n_inner=FFN),
}
MODELS: dict[str, type[PreTrainedModel]] = {"bert": BertModel, "gpt2": GPT2Model}
ARCHITECTURES = sorted(CONFIGS)


def tiny(architecture: str, seed: int = 0) -> PreTrainedModel:
    """A headless model in evaluation mode, with the same weights for the same seed."""
    torch.manual_seed(seed)
    return _roughened(MODELS[architecture](CONFIGS[architecture]))


def tiny_generator(seed: int = 0) -> GPT2LMHeadModel:
    """A tiny GPT-2 that generates."""
    torch.manual_seed(seed)
    return _roughened(GPT2LMHeadModel(CONFIGS["gpt2"]))


def _roughened(model: Any) -> Any:
    """Moves gains off 1 and biases off 0, where mistakes would not show."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


def part(name: str, **settings: Any) -> Method:
    """A method with its shipped settings, and `settings` in place of some of them."""
    shipped = OmegaConf.to_container(OmegaConf.load(config_dir() / "method" / f"{name}.yaml"))
    assert isinstance(shipped, dict)
    return parse_target(Method, {**shipped, **settings}, f"method.{name}")


def parts(method: str) -> dict[str, Method]:
    """The parts of a sum such as `ln+prefix`."""
    return {name: part(name) for name in method.split(SEPARATOR)}


def tune(model: PreTrainedModel, methods: str | dict[str, Method], seed: int = 0) -> dict[str, list[str]]:
    """Attaches methods to a model; returns the parameter names each part claims."""
    return attach(parts(methods) if isinstance(methods, str) else methods, Backbone(model), seed)


def shake(model: nn.Module, scale: float = 0.1) -> None:
    """Moves all trainable parameters to random places, as training would."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(scale * torch.randn(parameter.shape, generator=generator))


def trained(model: nn.Module) -> dict[str, Tensor]:
    """The trainable parameters by name."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def batch(lengths: Iterable[int] = (7, 4), seed: int = 0) -> dict[str, Tensor]:
    """Random token ids padded on the right: input_ids and attention_mask, (B, L)."""
    lengths = list(lengths)
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(1, VOCABULARY, (len(lengths), max(lengths)), generator=generator)
    mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
    return {"input_ids": ids * mask, "attention_mask": mask}


def hidden(model: PreTrainedModel, inputs: dict[str, Tensor]) -> Tensor:
    """The last hidden states at real tokens only, (tokens, hidden size)."""
    return model(**inputs).last_hidden_state[inputs["attention_mask"].bool()]
