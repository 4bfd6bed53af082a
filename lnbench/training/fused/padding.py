"""Batches of several runs as one."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

from lnbench.tasks.tokens.examples import IGNORED

Batch = Mapping[str, Tensor]
FILL = {"labels": IGNORED}
"""What fills the entries of padding, by name; all others are filled with 0."""


def stack_batches(batches: Sequence[Batch], pad_id: int) -> dict[str, Tensor]:
    """Pads batches on the right to one length, and stacks them.

    Args:
        batches: R of them, each of B rows; what has a second dimension of its batch's length is padded there.
        pad_id: token id that fills up.

    Returns:
        By name, (R, B, ...).
    """
    length = max(length_of(batch) for batch in batches)
    fill = {**FILL, "input_ids": pad_id}
    return {
        name: torch.stack([_lengthened(batch[name], length_of(batch), length, fill.get(name, 0)) for batch in batches])
        for name in batches[0]
    }


def length_of(batch: Batch) -> int:
    """Tokens to which the rows of a batch are padded."""
    return batch["input_ids"].shape[1]


def _lengthened(tensor: Tensor, own: int, length: int, value: int) -> Tensor:
    """(B, own, ...) to (B, length, ...); what is no sequence of tokens stays as it is."""
    if tensor.ndim < 2 or tensor.shape[1] != own:
        return tensor
    return pad(tensor, (0, 0) * (tensor.ndim - 2) + (0, length - own), value=value)
