"""A pretrained backbone with a tuning method attached and a task head on top."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn
from transformers import PreTrainedModel

from lnbench.backbone.config import MASK, PROGRESS

BACKBONE = "backbone"
HEAD = "head"
NOT_INPUTS = ("labels", "rows")


class TunedModel(nn.Module):
    """The model that a run trains, from token ids to logits."""

    def __init__(
        self, backbone: PreTrainedModel, head: nn.Module, claims: Mapping[str, list[str]], pretrained_size: int
    ) -> None:
        """
        Args:
            backbone: the backbone with the method's parts attached.
            head: module that turns the backbone's output and the attention mask into logits.
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
            inputs: other inputs of the backbone, such as token_type_ids (B, L).

        Returns:
            Logits, of the head's shape.
        """
        output = self.backbone(input_ids=input_ids, attention_mask=attention_mask, **inputs)
        logits: Tensor = self.head(output, attention_mask)
        return logits

    def trained(self) -> dict[str, nn.Parameter]:
        """The trainable parameters by name: the method's and the head's."""
        return {name: parameter for name, parameter in self.named_parameters() if parameter.requires_grad}

    def masks(self) -> dict[str, Tensor]:
        """The masks of partly trained parameters, by name. They are bool, and true for trained elements."""
        return {name.removesuffix(MASK): mask for name, mask in self.named_buffers() if name.endswith(MASK)}

    def measured(self) -> dict[str, Tensor]:
        """The head's buffers by name. They are measured on training data, by each run for itself, and not trained."""
        return {f"{HEAD}.{name}": buffer for name, buffer in self.head.named_buffers()}

    def state(self) -> dict[str, Tensor]:
        """All tensors that a file needs to restore the model: trained parameters, masks, and the head's buffers."""
        return {**self.trained(), **{name + MASK: mask for name, mask in self.masks().items()}, **self.measured()}

    def progress(self) -> dict[str, Tensor]:
        """The buffers that training needs after an interruption, besides `state()`, by name."""
        return {name: buffer for name, buffer in self.named_buffers() if name.endswith(PROGRESS)}

    def load_progress(self, tensors: Mapping[str, Tensor]) -> None:
        """Loads the buffers that `progress` returned."""
        for name, buffer in self.progress().items():
            buffer.copy_(tensors[name])

    def load_trained(self, tensors: Mapping[str, Tensor]) -> None:
        """Loads trained values into the model.

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
    """The entries of a batch that are inputs of the model."""
    return {name: tensor for name, tensor in batch.items() if name not in NOT_INPUTS}


@dataclass(frozen=True)
class ParameterCount:
    """Numbers of parameters."""

    backbone: int
    """Parameters of the pretrained backbone, without inserted ones."""
    trained: int
    """Parameters that the method's parts train, each counted once, without the head."""
    inserted: int
    """New parameters that the method adds to the backbone."""
    by_part: dict[str, int]
    """Parameters that each part claims. A parameter that two parts claim counts in both."""
    head: int

    @property
    def trained_fraction(self) -> float:
        """Trained parameters as a fraction of the pretrained backbone's."""
        return self.trained / self.backbone


def count_parameters(model: TunedModel) -> ParameterCount:
    """Counts the parameters of a model."""
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
