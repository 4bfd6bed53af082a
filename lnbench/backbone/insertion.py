"""Puts new modules into a pretrained model, without touching its own parameters or their names."""

from functools import partial
from typing import Any

from torch import Tensor, nn

from lnbench.core.schema import ConfigError


def insert_sequential(host: nn.Module, name: str, module: nn.Module) -> None:
    """Makes `host` return y + module(y) where it returned y; `module` becomes its submodule `name`."""
    _add_module(host, name, module)
    host.register_forward_hook(partial(_add_sequential, name))


def insert_parallel(source: nn.Module, target: nn.Module, name: str, module: nn.Module, scale: float = 1.0) -> None:
    """Makes `target` return y + scale * module(x) where it returned y, with x the input of `source`.

    `module` becomes `target`'s submodule `name`. Both layers must lie in the same block, and may be the same layer. In
    each forward pass of the block, `source` must run once, before `target`.
    """
    _add_module(target, name, module)
    relay = _Relay()
    source.register_forward_pre_hook(relay.take)
    target.register_forward_hook(partial(_add_parallel, relay, name, scale))


def insert_before_norm(norm: nn.Module, name: str, module: nn.Module) -> None:
    """Makes `norm` return norm(s + module(norm(s))) for norm(s); `module` becomes its submodule `name`.

    Other hooks on `norm` act in both calls.
    """
    _add_module(norm, name, module)
    norm.register_forward_pre_hook(_BeforeNorm(name))


def insert_at_end(block: nn.Module, name: str, module: nn.Module) -> None:
    """Makes `block` return s + module(s) where it returned s. `module` becomes its submodule `name`.

    If the block returns a tuple, s is its first entry.
    """
    _add_module(block, name, module)
    block.register_forward_hook(partial(_add_at_end, name))


def _add_module(host: nn.Module, name: str, module: nn.Module) -> None:
    """Makes `module` the submodule `name` of `host`, unless there is one, which it would replace.

    Raises:
        ConfigError: the name is taken.
    """
    if hasattr(host, name):
        raise ConfigError(
            f"method: a module {name!r} cannot be inserted into a {type(host).__name__}, which has something of this "
            f"name; each method needs a name of its own for what it inserts"
        )
    host.add_module(name, module)


class _Relay:
    """Carries a tensor from one layer to another, and keeps it no longer than needed."""

    def __init__(self) -> None:
        self._carried: Tensor | None = None

    def __deepcopy__(self, _: dict[int, Any]) -> "_Relay":
        """The copy of a model gets its own relay, which holds no tensor yet."""
        return _Relay()

    def take(self, _: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        """Stores the input of a layer."""
        self._carried = inputs[0]

    def give(self) -> Tensor:
        """Returns the stored tensor, and drops it."""
        carried, self._carried = self._carried, None
        assert carried is not None, "the source layer has not run before the target layer"
        return carried


class _BeforeNorm:
    """Adds module(norm(s)) to the input s of a norm, for a submodule `module` of the norm."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._inside = False
        """Whether the norm runs for the submodule, which then adds nothing."""

    def __call__(self, norm: nn.Module, inputs: tuple[Tensor, ...]) -> Tensor:
        if self._inside:
            return inputs[0]
        self._inside = True
        try:
            read = norm(inputs[0])
        finally:
            self._inside = False
        added: Tensor = norm.get_submodule(self._name)(read)
        return inputs[0] + added


def _add_sequential(name: str, host: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> Tensor:
    added: Tensor = host.get_submodule(name)(output)
    return output + added


def _add_at_end(name: str, block: nn.Module, inputs: tuple[Tensor, ...], output: Any) -> Any:
    if isinstance(output, tuple):
        return (_add_sequential(name, block, inputs, output[0]), *output[1:])
    return _add_sequential(name, block, inputs, output)


def _add_parallel(
    relay: _Relay, name: str, scale: float, target: nn.Module, _: tuple[Tensor, ...], output: Tensor
) -> Tensor:
    added: Tensor = target.get_submodule(name)(relay.give())
    return output + scale * added
