"""Heads: from what a backbone returns to logits."""

from typing import Literal, Protocol, get_args

import torch
from torch import Tensor, nn

Pooling = Literal["mean", "first", "last", "pooler"]


class BackboneOutput(Protocol):
    """What a head needs of a transformers model's output."""

    last_hidden_state: Tensor
    """(B, L, D)"""


class SentenceHead(nn.Module):
    """Dropout and one linear layer on a sentence vector.

    Args:
        hidden_size: D, the size of the sentence vector.
        num_labels: C, the number of logits.
        pooling: what the sentence vector is: `mean` over the tokens without the padding, the
            `first` token, the `last` token before the padding, or the backbone's own `pooler`.
        dropout: probability of dropping an entry of the sentence vector.
    """

    def __init__(self, hidden_size: int, num_labels: int, pooling: str, dropout: float) -> None:
        super().__init__()
        if pooling not in get_args(Pooling):
            raise ValueError(f"pooling = {pooling!r}: must be one of {', '.join(get_args(Pooling))}")
        self.pooling = pooling
        self.dropout = nn.Dropout(dropout)
        self.classifier = _new_linear(hidden_size, num_labels)

    def forward(self, output: BackboneOutput, attention_mask: Tensor) -> Tensor:
        """Classifies a batch that is padded on the right.

        Args:
            output: the backbone's output.
            attention_mask: (B, L), 1 for a token and 0 for padding.

        Returns:
            (B, C) logits.

        Raises:
            ValueError: pooling is `pooler` and the backbone has none.
        """
        logits: Tensor = self.classifier(self.dropout(self._pool(output, attention_mask)))
        return logits

    def _pool(self, output: BackboneOutput, attention_mask: Tensor) -> Tensor:
        hidden = output.last_hidden_state
        if self.pooling == "first":
            return hidden[:, 0]
        if self.pooling == "last":
            rows = torch.arange(len(hidden), device=hidden.device)
            return hidden[rows, attention_mask.sum(dim=1) - 1]
        if self.pooling == "mean":
            weights = attention_mask / attention_mask.sum(dim=1, keepdim=True)
            return (weights.to(hidden.dtype).unsqueeze(1) @ hidden).squeeze(1)
        pooled: Tensor | None = getattr(output, "pooler_output", None)
        if pooled is None:
            raise ValueError("pooling = 'pooler': this backbone has no pooler; choose mean, first or last")
        return pooled


class TokenHead(nn.Module):
    """Dropout and one linear layer on the vector of every token.

    Args:
        hidden_size: D, the size of a token's vector.
        num_labels: C, the number of logits of a token.
        dropout: probability of dropping an entry of a vector.
    """

    def __init__(self, hidden_size: int, num_labels: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.classifier = _new_linear(hidden_size, num_labels)

    def forward(self, output: BackboneOutput, attention_mask: Tensor) -> Tensor:
        """Classifies the tokens of a batch.

        Args:
            output: the backbone's output.
            attention_mask: (B, L); unused, as padding is classified too, for the loss to leave out.

        Returns:
            (B, L, C) logits.
        """
        logits: Tensor = self.classifier(self.dropout(output.last_hidden_state))
        return logits


def _new_linear(inputs: int, outputs: int) -> nn.Linear:
    """With BERT's initial values."""
    linear = nn.Linear(inputs, outputs)
    nn.init.normal_(linear.weight, std=0.02)
    nn.init.zeros_(linear.bias)
    return linear
