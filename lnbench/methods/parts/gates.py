"""Learned gates that scale the changes by other parts of a sum (Mao et al. 2022, arXiv 2110.07577)."""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from lnbench.methods.parts.linear_change import Change
from lnbench.methods.parts.seen_text import SeenText


class Gate(nn.Module):
    """The mean over a text's tokens of sigmoid(w x + v), (B,). w and v start at zero, so the gate starts at 1/2."""

    def __init__(self, text: SeenText, size: int) -> None:
        """
        Args:
            text: knows where padding is, which is ignored.
            size: size of x.
        """
        super().__init__()
        self._unregistered = (text,)
        self.linear = nn.Linear(size, 1)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        """The gate for x of shape (B, L, size) or (B * L, size).

        If x is not of the text but shared by all texts, (1, D, size), its mean is over all D, and the gate is (1,).
        """
        (text,) = self._unregistered
        shared = x.new_ones(x.shape[:-1], dtype=torch.bool)
        mask = text.in_states(text.mask(), x) if text.is_in(x) else shared
        openness = torch.sigmoid(self.linear(x)).reshape(mask.shape) * mask
        return openness.sum(1) / mask.sum(1).clamp(min=1)


class GateOfPrefix(Gate):
    """The gate of a prefix. Its x is the last input of a layer inside attention."""

    def __init__(self, text: SeenText, size: int, reader: nn.Module) -> None:
        """
        Args:
            text, size: as for `Gate`.
            reader: layer that reads x before attention uses the prefix.
        """
        super().__init__(text, size)
        self._given: list[Tensor] = []
        reader.register_forward_pre_hook(self._take)

    def scale(self, *tensors: Tensor) -> list[Tensor]:
        """Scales keys and values, each (heads, P, head size), for each row: (B, heads, P, head size)."""
        openness = self(self._given.pop())
        return [openness[:, None, None, None] * tensor for tensor in tensors]

    def _take(self, _: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self._given[:] = inputs[:1]


def insert_gate(host: nn.Module, name: str, gate: Gate, scaled: nn.Module) -> None:
    """Multiplies the output of `scaled` by a gate of its input. `gate` becomes the submodule `name` of `host`."""
    host.add_module(name, gate)
    if isinstance(scaled, Change):
        scaled.foldable = False
    scaled.register_forward_hook(partial(_scale, (gate,)))


def _scale(gates: tuple[Gate], _: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
    openness: Tensor = gates[0](inputs[0])
    rows = output.reshape(len(openness), -1, output.shape[-1])
    return (rows * openness[:, None, None]).view_as(output)
