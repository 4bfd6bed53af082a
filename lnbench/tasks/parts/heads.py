"""Task heads, which turn the backbone's output into logits."""

from typing import Literal, Protocol, get_args

import torch
from torch import Tensor, nn

Pooling = Literal["mean", "first", "last", "pooler"]
INITIAL = 0.002
"""Standard deviation of a new head's weights. It makes the first logits small beside the changes of a few steps."""
QUIET = 0.1
"""Least divisor of a feature, as a share of the mean standard deviation of all features."""
NOISE = 1e-5
"""States that vary less than this, relative to their size, are equal up to rounding."""


class BackboneOutput(Protocol):
    """The part of a transformers model's output that a head needs."""

    last_hidden_state: Tensor
    """(B, L, D)"""


class Head(nn.Module):
    """Dropout and one linear layer on standardised states: W drop((h - mean) / scale) + b.

    `mean` and `scale`, (D,) float32, are buffers. They are measured once, before training, so that the head learns
    equally fast for any scale of a model's states. In a new head they are 0 and 1.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, hidden_size: int, num_labels: int, dropout: float) -> None:
        """
        Args:
            hidden_size: D, the size of a state.
            num_labels: C, the number of logits.
            dropout: probability of dropping an entry of a standardised state.
        """
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(hidden_size, num_labels)
        nn.init.normal_(self.classifier.weight, std=INITIAL)
        nn.init.zeros_(self.classifier.bias)
        self.register_buffer("mean", torch.zeros(hidden_size))
        self.register_buffer("scale", torch.ones(hidden_size))

    def forward(self, output: BackboneOutput, attention_mask: Tensor) -> Tensor:
        """Classifies a batch that is padded on the right.

        Args:
            output: the backbone's output.
            attention_mask: (B, L), 1 for a token and 0 for padding.

        Returns:
            Logits, C for each state.
        """
        states = self.states(output, attention_mask)
        logits: Tensor = self.classifier(self.dropout((states - self.mean) / self.scale))
        return logits

    def states(self, output: BackboneOutput, attention_mask: Tensor) -> Tensor:
        """The states that are classified, (..., D)."""
        raise NotImplementedError

    def read(self, output: BackboneOutput, attention_mask: Tensor) -> Tensor:
        """The states of text without those of padding, (N, D)."""
        return self.states(output, attention_mask)

    def standardise(self, mean: Tensor, deviation: Tensor) -> None:
        """Sets the mean and the scale by which states are standardised.

        If the measured states do not vary at all, the scale is 1.

        Args:
            mean: (D,), the mean of the measured states.
            deviation: (D,), their standard deviation.
        """
        size = (mean.square() + deviation.square()).mean().sqrt()
        typical = deviation.mean()
        varies = bool(typical > NOISE * size)
        self.mean.copy_(mean)
        self.scale.copy_(deviation.clamp_min(QUIET * typical) if varies else torch.ones_like(deviation))

    def folded(self) -> nn.Linear:
        """A single linear layer that gives the same logits, without dropout, from states that are not standardised."""
        linear = nn.Linear(self.classifier.in_features, self.classifier.out_features)
        weight, bias, mean, scale = (
            tensor.detach().double() for tensor in (self.classifier.weight, self.classifier.bias, self.mean, self.scale)
        )
        with torch.no_grad():
            linear.weight.copy_(weight / scale)
            linear.bias.copy_(bias - (weight / scale) @ mean)
        return linear


class SentenceHead(Head):
    """Classifies the sentence vector: logits are (B, C)."""

    def __init__(self, hidden_size: int, num_labels: int, pooling: str, dropout: float) -> None:
        """
        Args:
            hidden_size, num_labels, dropout: as in `Head`.
            pooling: the sentence vector: `mean` over the tokens without the padding, the `first` token, the `last`
                token before the padding, or the backbone's own `pooler`.
        """
        super().__init__(hidden_size, num_labels, dropout)
        if pooling not in get_args(Pooling):
            raise ValueError(f"pooling = {pooling!r}: must be one of {', '.join(get_args(Pooling))}")
        self.pooling = pooling

    def states(self, output: BackboneOutput, attention_mask: Tensor) -> Tensor:
        """The sentence vectors, (B, D).

        Raises:
            ValueError: pooling is `pooler` and the backbone has none.
        """
        hidden = output.last_hidden_state
        if self.pooling == "first":
            return hidden[:, 0]
        if self.pooling == "last":
            rows = torch.arange(len(hidden), device=hidden.device)
            return hidden[rows, attention_mask.sum(dim=1) - 1]
        if self.pooling == "mean":
            weights = attention_mask / attention_mask.sum(dim=1, keepdim=True)
            return (weights.unsqueeze(2) * hidden).sum(dim=1)  # a matrix product would be rounded to bf16
        pooled: Tensor | None = getattr(output, "pooler_output", None)
        if pooled is None:
            raise ValueError("pooling = 'pooler': this backbone has no pooler; choose mean, first or last")
        return pooled


class TokenHead(Head):
    """Classifies the vector of every token. Logits are (B, L, C), padding included, which the loss must leave out."""

    def states(self, output: BackboneOutput, attention_mask: Tensor) -> Tensor:
        """The last hidden states, (B, L, D)."""
        return output.last_hidden_state

    def read(self, output: BackboneOutput, attention_mask: Tensor) -> Tensor:
        """The states of tokens without padding, (N, D)."""
        return output.last_hidden_state[attention_mask.bool()]
