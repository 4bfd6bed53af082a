"""Puts new modules into a pretrained model, without touching its own parameters or their names."""

from functools import partial

from torch import Tensor, nn


def insert_sequential(host: nn.Module, name: str, module: nn.Module) -> None:
    """Makes `host` return y + module(y) where it returned y; `module` becomes its submodule `name`."""
    host.add_module(name, module)
    host.register_forward_hook(partial(_add_sequential, name))


def _add_sequential(name: str, host: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> Tensor:
    return output + host.get_submodule(name)(output)
