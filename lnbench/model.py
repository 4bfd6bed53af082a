"""A pretrained backbone with a tuning method attached and a task head on top."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lnbench.backbone.attention import adapt_attention
from lnbench.backbone.backbone import Backbone, longest_text
from lnbench.backbone.dropout import make_dropout_cheap
from lnbench.backbone.loading import empty_backbone, load_backbone, load_config, require_kind, require_pooling
from lnbench.backbone.vocabulary import embedded_tokens, unembedded
from lnbench.config import RunConfig
from lnbench.methods.attach import attach
from lnbench.methods.base import MASK
from lnbench.schema import ConfigError
from lnbench.seeding import seeded
from lnbench.tasks.base import Task

BACKBONE = "backbone"
HEAD = "head"
NOT_INPUTS = ("labels", "rows")


class TunedModel(nn.Module):
    """What a run trains: from token ids to logits."""

    def __init__(
        self, backbone: PreTrainedModel, head: nn.Module, claims: Mapping[str, list[str]], pretrained_size: int
    ) -> None:
        """
        Args:
            backbone: with the method's parts attached.
            head: from the backbone's output and the attention mask to logits.
            claims: for each part of the method, the names of the backbone's parameters that it trains.
            pretrained_size: number of parameters of the backbone without the parts.
        """
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.claims = {part: [f"{BACKBONE}.{name}" for name in names] for part, names in claims.items()}
        self.pretrained_size = pretrained_size

    def forward(self, input_ids: Tensor, attention_mask: Tensor, **inputs: Tensor) -> Tensor:
        """
        Args:
            input_ids: (B, L).
            attention_mask: (B, L), 1 for tokens and 0 for padding.
            inputs: what else the backbone takes, such as token_type_ids (B, L).

        Returns:
            Logits, of the head's shape.
        """
        output = self.backbone(input_ids=input_ids, attention_mask=attention_mask, **inputs)
        return self.head(output, attention_mask)

    def trained(self) -> dict[str, nn.Parameter]:
        """The trainable parameters by name: the method's and the head's."""
        return {name: parameter for name, parameter in self.named_parameters() if parameter.requires_grad}

    def masks(self) -> dict[str, Tensor]:
        """Which elements are trained of the parameters that are not trained whole: bool, by parameter name."""
        return {name.removesuffix(MASK): mask for name, mask in self.named_buffers() if name.endswith(MASK)}

    def measured(self) -> dict[str, Tensor]:
        """By name what the head has of training data without being trained, and each run for itself."""
        return {f"{HEAD}.{name}": buffer for name, buffer in self.head.named_buffers()}

    def state(self) -> dict[str, Tensor]:
        """What a file must hold to restore the model: trained parameters, masks, and what the head has measured."""
        return {**self.trained(), **{name + MASK: mask for name, mask in self.masks().items()}, **self.measured()}

    def load_trained(self, tensors: Mapping[str, Tensor]) -> None:
        """Puts trained values in place.

        Raises:
            ValueError: `tensors` has other names than `state()`.
        """
        expected = set(self.state())
        if expected != set(tensors):
            different = sorted(expected ^ set(tensors))
            raise ValueError(
                f"the file does not fit this model and method: {len(different)} names, first {different[0]}"
            )
        self.load_state_dict(dict(tensors), strict=False)


def inputs_of(batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What of a batch goes into the model."""
    return {name: tensor for name, tensor in batch.items() if name not in NOT_INPUTS}


@dataclass(frozen=True)
class ParameterCount:
    """Sizes in numbers of parameters."""

    backbone: int
    """The pretrained backbone, without what the method inserts."""
    trained: int
    """The union of what the method's parts train; the head is not in it."""
    inserted: int
    """New parameters that the method adds to the backbone."""
    by_part: dict[str, int]
    """What each part claims; a parameter claimed twice counts in both."""
    head: int

    @property
    def share(self) -> float:
        """Trained parameters as a fraction of the pretrained backbone's."""
        return self.trained / self.backbone


def check_length(config: RunConfig) -> None:
    """Makes sure, before anything slow, that the pretrained model can do the task, and take its longest rows.

    Raises:
        ConfigError: the model is no language model, or has no pooler, where one is needed, or has too few positions.
    """
    pretrained = load_config(config.model)
    require_kind(pretrained, config.task.backbone)
    require_pooling(pretrained, config.model.pooling)
    longest, limit = config.task.longest_row, longest_text(pretrained)
    taken = sum(part.positions for part in config.method.values())
    if limit is not None and taken >= limit:
        lengths = [f"method.{name}.length = {part.positions}" for name, part in config.method.items() if part.positions]
        raise ConfigError(f"{', '.join(lengths)}: leaves no room for text; {config.model.name} has {limit} positions")
    if longest is not None and limit is not None and longest + taken > limit:
        less = f", of which {config.method_name} takes {taken}" if taken else ""
        raise ConfigError(
            f"{_lengths(config.task, longest)}: {config.model.name} has {limit} positions{less}; "
            f"choose {limit - taken} or less"
        )


def check_vocabulary(config: RunConfig, tokenizer: PreTrainedTokenizerBase, highest: int) -> None:
    """Makes sure, before any weights are loaded, that the pretrained model embeds the tokens of its data.

    Args:
        config: of the run.
        tokenizer: of the model.
        highest: the highest token id in the data.

    Raises:
        ConfigError: it does not, and its embedding is not to grow.
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
    """The settings that make a task's longest row, and what they come to."""
    values = {name: reduce(getattr, name.split("."), task) for name in task.lengths}
    told = ", ".join(f"task.{name} = {value}" for name, value in values.items())
    return told if len(values) == 1 else f"{told}: rows of up to {longest} tokens"


def build_model(config: RunConfig) -> TunedModel:
    """Loads the pretrained backbone, attaches the method, and adds a new head for the task."""
    return _assemble(load_pretrained(config), config)


def load_pretrained(config: RunConfig) -> PreTrainedModel:
    """The pretrained model of a run in the form that its task tunes, untouched."""
    return load_backbone(config.model, config.task.backbone, _needs_pooler(config))


def build_skeleton(config: RunConfig) -> TunedModel:
    """The same model without values: for counting, on the meta device, and without a download where possible."""
    with torch.device("meta"):
        return _assemble(empty_backbone(config.model, config.task.backbone, _needs_pooler(config)), config)


def _needs_pooler(config: RunConfig) -> bool:
    return config.model.pooling == "pooler"


def _assemble(backbone: PreTrainedModel, config: RunConfig) -> TunedModel:
    """The head starts from the same values whatever the method, so that methods compare seed by seed."""
    backbone.config.use_cache = False
    pretrained_size = backbone.num_parameters()
    view = Backbone(backbone)
    adapt_attention(backbone)
    claims = attach(config.method, view, config.seed)
    if config.trainer.gradient_checkpointing:
        if not backbone.supports_gradient_checkpointing:
            raise ConfigError(f"trainer.gradient_checkpointing = true: {type(backbone).__name__} does not support it")
        backbone.activation_checkpointing_enable({"use_reentrant": False})
        backbone.disable_input_require_grads()  # which is for the reentrant kind, and leads backward through all layers
    with seeded(config.seed, HEAD):
        head = config.task.head(view.output_size, config.model.pooling, config.model.dropout)
    model = TunedModel(backbone, head, claims, pretrained_size)
    make_dropout_cheap(model)
    return model


def count_parameters(model: TunedModel) -> ParameterCount:
    """Counts what is trained and what is there."""
    sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
    trained = {**sizes, **{name: int(mask.sum()) for name, mask in model.masks().items()}}
    head = sum(parameter.numel() for parameter in model.head.parameters())
    return ParameterCount(
        backbone=model.pretrained_size,
        trained=sum(trained[name] for name in set().union(*model.claims.values())),
        inserted=sum(sizes.values()) - head - model.pretrained_size,
        by_part={part: sum(trained[name] for name in names) for part, names in model.claims.items()},
        head=head,
    )
