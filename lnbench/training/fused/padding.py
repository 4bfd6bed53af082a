"""Stacks batches of several runs into one."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

from lnbench.tasks.tokens.examples import IGNORED

Batch = Mapping[str, Tensor]
FILL = {"labels": IGNORED}
"""Value of padding entries, by the tensor's name. All other tensors are padded with 0."""


def stack_batches(batches: Sequence[Batch], pad_id: int) -> dict[str, Tensor]:
    """Pads batches on the right to one length, and stacks them.

    Args:
        batches: R batches of B rows each. Tensors with the batch's length as second dimension are padded there.
        pad_id: token id used for padding.

    Returns:
        Tensors by name, (R, B, ...).
    """
    length = max(length_of(batch) for batch in batches)
    fill = {**FILL, "input_ids": pad_id}
    return {
        name: torch.stack([_lengthened(batch[name], length_of(batch), length, fill.get(name, 0)) for batch in batches])
        for name in batches[0]
    }


def length_of(batch: Batch) -> int:
    """Number of tokens to which the rows of a batch are padded."""
    return batch["input_ids"].shape[1]


def _lengthened(tensor: Tensor, own: int, length: int, value: int) -> Tensor:
    """Pads (B, own, ...) to (B, length, ...). A tensor that is no sequence of tokens stays as it is."""
    if tensor.ndim < 2 or tensor.shape[1] != own:
        return tensor
    return pad(tensor, (0, 0) * (tensor.ndim - 2) + (0, length - own), value=value)
