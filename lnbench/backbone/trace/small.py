"""Builds a small model of an architecture, with random weights and few blocks, words and positions."""

import copy
from typing import Any

import torch
from torch import nn
from transformers import AutoModel, PreTrainedConfig, PreTrainedModel
from transformers.utils import logging

from lnbench.core.schema import ConfigError

BLOCKS = 3
WORDS = 128
POSITIONS = 66
FFN = 96
SEARCHED = 12
"""Largest number of blocks that are built to see one of each kind."""


def require_text(config: PreTrainedConfig) -> None:
    """Refuses configurations for which there can be no role table.

    Raises:
        ConfigError: the model reads no text, or does not have exactly one list of blocks.
    """
    kind = config.model_type
    if config.is_encoder_decoder:
        raise ConfigError(
            f"model: {kind!r} is an encoder-decoder, whose roles this command does not find: it looks for one list of "
            f"blocks; the two tables, of encoder and decoder, are written by hand as those of T5 in "
            f"lnbench/backbone/tables.py"
        )
    inner = config.get_text_config()
    if inner is not config:
        raise ConfigError(
            f"model: {kind!r} holds several models; give a folder of its text model alone ({inner.model_type!r})"
        )
    if getattr(config, "num_hidden_layers", 2) < 2:
        raise ConfigError(
            f"model: num_hidden_layers = {config.num_hidden_layers} in the configuration of {kind!r}: must be 2 or "
            f"more, because the list of blocks is found by each reading what the one before it yields"
        )


def build(config: PreTrainedConfig, blocks: int | None = None, **settings: Any) -> PreTrainedModel:
    """A headless model in evaluation mode, with weights that give every part an effect.

    Args:
        config: configuration of the architecture; it is not changed.
        blocks: number of blocks; None: that of the configuration.
        settings: further settings of the configuration.

    Raises:
        ConfigError: transformers cannot build it.
    """
    config = copy.deepcopy(config)
    level = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        for name, value in settings.items():
            setattr(config, name, value)
        if blocks is not None:
            config.num_hidden_layers = blocks
        config.use_cache = False
        model: PreTrainedModel = AutoModel.from_config(config, dtype=torch.float32)
    except Exception as error:  # whatever a foreign class raises
        raise ConfigError(
            f"model: transformers builds no model of the architecture {config.model_type!r} "
            f"({type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'})"
        ) from error
    finally:
        logging.set_verbosity(level)
    if model.main_input_name != "input_ids":
        raise ConfigError(f"model: {config.model_type!r} reads {model.main_input_name}, and no text")
    model.eval()
    return model


def shrunk(config: PreTrainedConfig) -> PreTrainedConfig:
    """The same architecture with few words, positions and features of the feed-forward network."""
    small = copy.deepcopy(config)
    for name, most in (("vocab_size", WORDS), ("max_position_embeddings", POSITIONS), ("intermediate_size", FFN)):
        value = getattr(small, name, None)
        if isinstance(value, int) and value > most:
            setattr(small, name, most)
    for name in ("pad_token_id", "bos_token_id", "eos_token_id"):
        value = getattr(small, name, None)
        if isinstance(value, list) or (isinstance(value, int) and value >= small.vocab_size):
            setattr(small, name, 0)
    return small


def enough_blocks(config: PreTrainedConfig) -> tuple[int, bool]:
    """Number of blocks that show every kind of block of an architecture, and whether this is certain."""
    with torch.device("meta"):
        whole = build(config)
    layers: int = config.num_hidden_layers
    lists = [one for one in whole.modules() if isinstance(one, nn.ModuleList) and len(one) == layers]
    kinds: list[Any] = [[(path, type(part)) for path, part in block.named_modules()] for one in lists for block in one]
    types = (getattr(config, "layer_types", None) or [])[:layers]
    seen = {str(kind): number % layers for number, kind in reversed(list(enumerate(kinds)))}
    needed = [*seen.values(), *(types.index(kind) for kind in set(types))]
    count = max([BLOCKS - 1, *needed]) + 1
    return min(count, SEARCHED, layers), count <= SEARCHED or layers <= SEARCHED


@torch.no_grad()
def fill(model: PreTrainedModel) -> None:
    """Gives a model random weights: maps keep the size of their input, gains differ from 1, and biases from 0."""
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if parameter.ndim < 2:
            parameter.add_(0.1 * noise)
        else:
            parameter.copy_(noise / min(parameter.shape[-2:]) ** 0.5)
        parameter.requires_grad_()
