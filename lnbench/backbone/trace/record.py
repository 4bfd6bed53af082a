"""Records the inputs and outputs of every module in one forward pass."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from lnbench.core.schema import ConfigError

Edit = Callable[[Tensor], Tensor]


@dataclass
class Call:
    """One call of a module."""

    path: str
    module: nn.Module
    start: int
    """Place in the order in which calls begin."""
    given: Tensor | None
    """The first float tensor among the inputs."""
    output: Tensor | None = None
    """The output, or the first tensor in it."""
    end: int = -1

    @property
    def tensors(self) -> tuple[Tensor, Tensor]:
        """The input and the output."""
        assert self.given is not None
        assert self.output is not None
        return self.given, self.output

    @property
    def takes_text(self) -> bool:
        """Whether it maps (1, L, ...) to (1, L, ...)."""
        pair = (self.given, self.output)
        return all(one is not None and one.ndim >= 3 for one in pair)


@dataclass
class Pass:
    """The calls of a forward pass, in the order in which they begin."""

    calls: list[Call] = field(default_factory=list)
    states: Tensor = field(default_factory=lambda: torch.empty(0))
    """The last hidden states, (1, L, hidden size)."""

    def of(self, path: str) -> list[Call]:
        """The calls of the module at `path`."""
        return [call for call in self.calls if call.path == path]

    def within(self, outer: Call) -> list[Call]:
        """The first call of each module during another call, in order."""
        inside = [call for call in self.calls if outer.start < call.start and 0 <= call.end < outer.end]
        return list({call.path: call for call in reversed(inside)}.values())[::-1]


def run_recorded(base: nn.Module, ids: Tensor, edits: Mapping[str, Edit] | None = None) -> Pass:
    """One forward pass with gradients.

    Args:
        base: a headless model.
        ids: (1, L) tokens.
        edits: by path of a module, a function that changes the output of its first call.
    """
    seen, clock, left = Pass(), iter(range(10**9)), dict(edits or {})
    open_calls: list[Call] = []

    def before(path: str, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        call = Call(path, module, next(clock), _floats([*args, *kwargs.values()]))
        open_calls.append(call)
        seen.calls.append(call)

    def after(path: str, module: nn.Module, _: tuple[Any, ...], output: Any) -> Any:
        call = open_calls.pop()
        if (edit := left.pop(path, None)) is not None:
            if not isinstance(output, Tensor):
                raise ConfigError(f"{path}: returns several values, so its role cannot be found by changing them")
            output = edit(output)
        call.output = _floats([output])
        call.end = next(clock)
        return output.clone() if isinstance(output, Tensor) else output  # what comes later may change it in place

    with ExitStack() as hooks:
        for path, module in base.named_modules():
            pre = module.register_forward_pre_hook(partial(before, path), with_kwargs=True)
            hooks.callback(pre.remove)
            hooks.callback(module.register_forward_hook(partial(after, path)).remove)
        seen.states = base(input_ids=ids, attention_mask=torch.ones_like(ids))[0]
    return seen


def gradient(of: Tensor, by: Tensor) -> Tensor:
    """The gradient of a random sum of `of` with respect to `by`, of the shape of `by`; 0 if there is no dependence."""
    if not of.requires_grad:
        return torch.zeros_like(by)
    weights = torch.randn(of.shape, generator=torch.Generator().manual_seed(1))
    (found,) = torch.autograd.grad((of * weights).sum(), by, retain_graph=True, allow_unused=True)
    return torch.zeros_like(by) if found is None else found


def equal(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors are equal up to rounding."""
    one, other = by_token(one), by_token(other)
    return one.shape == other.shape and bool((one - other).abs().max() <= 1e-3 * (1e-6 + other.abs().max()))


def by_token(tensor: Tensor) -> Tensor:
    """The shape (1, L, ...), also from (L, ...), which some networks use."""
    return tensor if tensor.ndim > 2 else tensor[None]


def _floats(values: Any) -> Tensor | None:
    for value in values:
        if isinstance(value, tuple | list) or (hasattr(value, "to_tuple")):
            found = _floats(value.to_tuple() if hasattr(value, "to_tuple") else value)
            if found is not None:
                return found
        elif isinstance(value, Tensor) and value.is_floating_point() and value.ndim >= 2:
            return value
    return None
