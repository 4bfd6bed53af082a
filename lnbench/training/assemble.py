"""Builds a run's model from a pretrained backbone, the method and a head; refuses combinations that do not fit."""

from functools import reduce

import torch
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from lnbench.backbone.attention import adapt_attention
from lnbench.backbone.backbone import longest_text, views
from lnbench.backbone.dropout import make_dropout_cheap
from lnbench.backbone.loading import empty_backbone, load_backbone, load_config, require_kind, require_pooling
from lnbench.backbone.tuned_model import HEAD, TunedModel
from lnbench.backbone.vocabulary import embedded_tokens, unembedded
from lnbench.config.run import RunConfig
from lnbench.core.schema import ConfigError
from lnbench.core.seeding import seeded
from lnbench.methods.parts.attach import attach, check_sides
from lnbench.tasks.base import Task
from lnbench.training.device import count_devices

LEAST_ROOM = 8
"""Least tokens that a task may cut its texts to."""


def check_length(config: RunConfig) -> None:
    """Checks, before anything slow, that the pretrained model supports the run.

    Raises:
        ConfigError: as `check_model`, or the number of devices or a general text does not suit the model.
    """
    pretrained = load_config(config.model)
    check_model(config, pretrained)
    if pretrained.is_encoder_decoder and count_devices(config.trainer) > 1:
        raise ConfigError(
            f"trainer.devices = {config.trainer.devices!r}: the encoder-decoder {config.model.name} is not sharded, as "
            f"generation calls its encoder alone; type trainer.devices=1"
        )
    _check_retention(config, pretrained)


def check_model(config: RunConfig, pretrained: PreTrainedConfig) -> None:
    """Checks that a pretrained model suits the task and the method, and has positions for the task's longest rows.

    Args:
        config: configuration of the run.
        pretrained: architecture of its model.

    Raises:
        ConfigError: the task needs a language model or a pooler, which the model lacks; there are too few positions;
            the model cannot be quantised; or a part of the method does not suit it.
    """
    require_kind(pretrained, config.task.backbone)
    require_pooling(pretrained, config.model.pooling)
    check_sides(config.method, pretrained)
    if config.model.quantization:
        _empty(config)
    longest = config.task.longest_text if pretrained.is_encoder_decoder else config.task.longest_row
    limit = longest_text(pretrained)
    if limit is not None:
        _check_positions(config, longest or 0, limit)


def _check_positions(config: RunConfig, longest: int, limit: int) -> None:
    """Checks that a text and what the method puts before it fit into the positions of the model.

    Args:
        config: configuration of the run.
        longest: tokens of the task's longest row; 0 if it has no such limit.
        limit: positions of the model.
    """
    taken = {name: part.positions for name, part in config.method.items() if part.positions}
    room, model = limit - sum(taken.values()), f"{config.model.name} has {limit} positions"
    beside = f"choose {limit - longest} or less beside {_lengths(config.task, longest)}" if 0 < longest < limit else ""
    if taken and room < max(1, min(longest, LEAST_ROOM)):
        lengths = ", ".join(f"method.{name}.length = {count}" for name, count in taken.items())
        left = "leaves no room for text" if room <= 0 else f"leaves {room} tokens to a text"
        raise ConfigError(f"{lengths}: {left}; {model}; {beside or f'choose {limit - LEAST_ROOM} or less'}")
    if longest > room:
        less = f", of which {config.method_name} takes {limit - room}" if taken else ""
        raise ConfigError(f"{_lengths(config.task, longest)}: {model}{less}; choose {room} or less")


def _check_retention(config: RunConfig, pretrained: PreTrainedConfig) -> None:
    """Checks that the model can read a general text, and has positions for its windows."""
    asked = config.retention
    if not asked.is_on:
        return
    if pretrained.is_encoder_decoder:
        raise ConfigError(
            f"{asked.setting}: the encoder-decoder {config.model.name} writes a text for another one, and has no loss "
            f"on a text alone; choose a decoder, such as model=gpt2, or leave it out"
        )
    limit, taken = longest_text(pretrained), sum(part.positions for part in config.method.values())
    if limit is not None and asked.window > limit - taken:
        less = f", of which {config.method_name} takes {taken}" if taken else ""
        raise ConfigError(
            f"retention.window = {asked.window}: {config.model.name} has {limit} positions{less}; choose "
            f"{limit - taken} or less"
        )


def check_vocabulary(config: RunConfig, tokenizer: PreTrainedTokenizerBase, highest: int) -> None:
    """Checks, before any weights are loaded, that the pretrained model embeds every token of the data.

    Args:
        config: configuration of the run.
        tokenizer: tokenizer of the model.
        highest: the highest token id in the data.

    Raises:
        ConfigError: the model lacks some tokens, and the configuration does not let its embedding grow.
    """
    if config.model.grow_embedding:
        return
    if problem := unembedded(tokenizer, embedded_tokens(load_config(config.model)), highest):
        raise ConfigError(
            f"model {config.model.name!r} {problem}; model.grow_embedding=true gives it the rows that it lacks "
            f"(they start at the mean of the others, and only methods that train the embedding train them); or choose "
            f"the tokenizer with which the model was trained"
        )


def _lengths(task: Task, longest: int) -> str:
    """The settings that determine a task's longest row, and its resulting length."""
    values = {name: reduce(getattr, name.split("."), task) for name in task.lengths}
    told = ", ".join(f"task.{name} = {value}" for name, value in values.items())
    return told if len(values) == 1 else f"{told}: rows of up to {longest} tokens"


def build_model(config: RunConfig) -> TunedModel:
    """Loads the pretrained backbone, attaches the method, and adds a new head for the task."""
    return _assemble(load_pretrained(config), config)


def load_pretrained(config: RunConfig) -> PreTrainedModel:
    """Loads the pretrained model of a run, unchanged, in the form that its task tunes."""
    return load_backbone(config.model, config.task.backbone, _needs_pooler(config))


def build_skeleton(config: RunConfig) -> TunedModel:
    """Builds the same model without values, on the meta device, to count sizes. It avoids downloads where it can."""
    with torch.device("meta"):
        return _assemble(_empty(config), config)


def _empty(config: RunConfig) -> PreTrainedModel:
    """The pretrained model without values."""
    with torch.device("meta"):
        return empty_backbone(config.model, config.task.backbone, _needs_pooler(config))


def _needs_pooler(config: RunConfig) -> bool:
    return config.model.pooling == "pooler"


def _assemble(backbone: PreTrainedModel, config: RunConfig) -> TunedModel:
    """Attaches the method and adds the head.

    The head has the same initial values for every method, so methods can be compared seed by seed.
    """
    for part in backbone.modules():
        if isinstance(part, PreTrainedModel):  # each side of an encoder-decoder has a configuration of its own
            part.config.use_cache = False
    pretrained_size, backbones = backbone.num_parameters(), views(backbone)
    adapt_attention(backbone)
    claims = attach(config.method, backbones, config.seed)
    if config.trainer.gradient_checkpointing:
        if not backbone.supports_gradient_checkpointing:
            raise ConfigError(f"trainer.gradient_checkpointing = true: {type(backbone).__name__} does not support it")
        backbone.activation_checkpointing_enable({"use_reentrant": False})
        backbone.disable_input_require_grads()  # needed by reentrant checkpointing only; makes backward long
    with seeded(config.seed, HEAD):
        head = config.task.head(backbones[0].output_size, config.model.pooling, config.model.dropout)
    model = TunedModel(backbone, head, claims, pretrained_size)
    make_dropout_cheap(model)
    return model
