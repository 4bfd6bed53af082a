"""An adapter of AdapterHub's `adapters`: its tensors, and its settings."""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, NamedTuple

from torch import Tensor

from lnbench.backbone.backbone import Backbone
from lnbench.core.schema import ConfigError
from lnbench.exchange.importing import Part, Tensors

KINDS = "adapters|loras|refts|prefix_tunings|shared_parameters"
EMPTY: tuple[Any, ...] = (None, False, [])
"""Values of all settings that a method does not name."""
ONLY_TRAINING = {"dropout", "dtype", "init_weights", "init_weights_seed", "leave_out"}
"""Settings that act in training only, or that the tensors show."""
COMPARED = ("bert", "distilbert", "electra", "gpt2", "llama", "roberta", "xlm-roberta")
"""Architectures for which the places of bottleneck adapters and prefixes are known to be the same."""


class Tuned(NamedTuple):
    """A tensor of an adapter."""

    host: str
    """Name of the module at which it is, without that of the model."""
    kind: str
    leaf: str
    """Its name in the module that was inserted there."""
    value: Tensor


class Adapter:
    """An adapter as `adapters` has saved it."""

    def __init__(self, name: str, tensors: Tensors) -> None:
        """
        Args:
            name: name of the adapter.
            tensors: by name in the model.
        """
        pattern = re.compile(rf"(?:(.*)\.)?({KINDS})\.{re.escape(name)}\.(.+)")
        matches = {full: pattern.fullmatch(full) for full in tensors}
        self.unknown = [full for full, match in matches.items() if not match]
        """Names of tensors of other kinds."""
        self._left = [
            Tuned(match[1] or "", match[2], match[3], tensors[full].float())
            for full, match in matches.items()
            if match and ".pool." not in full  # copies of the prefixes, one for each layer
        ]

    @property
    def left(self) -> list[str]:
        """Names of the tensors that were not taken."""
        return [*self.unknown, *(f"{one.host}.{one.kind}.{one.leaf}" for one in self._left)]

    def take(self, kind: str, hosts: Iterable[str]) -> dict[str, Tensors]:
        """The tensors of a kind at some modules, by module and name.

        Args:
            kind: one of `KINDS`.
            hosts: names of the modules. The model in which the adapter was saved may have had another prefix.
        """
        found: dict[str, Tensors] = {}
        for one in [one for one in self._left if one.kind == kind]:
            tails = [one.host, one.host.partition(".")[2]]
            names = [name for name in hosts if name in tails or name.endswith(f".{one.host}")]
            if names:
                found.setdefault(names[0], {})[one.leaf] = one.value
                self._left.remove(one)
        return found


Reader = Callable[[Adapter, Backbone], Part]
"""Makes a part of a method out of an adapter, for a model."""


def check_settings(config: Mapping[str, Any], free: Collection[str], **needed: Any) -> None:
    """Checks the settings of an adapter.

    Args:
        config: the settings.
        free: those that may have any value.
        needed: those that must have this value. All others must be empty.

    Raises:
        ConfigError: naming the settings that have other values.
    """
    foreign = {
        name: value
        for name, value in config.items()
        if name not in ONLY_TRAINING | set(free) | {"architecture"}
        and (value != needed[name] if name in needed else value not in EMPTY)
    }
    if foreign:
        said = ", ".join(f"{name} = {value!r}" for name, value in sorted(foreign.items()))
        raise ConfigError(f"{said}: has no counterpart in lnbench")


def check_compared(backbone: Backbone) -> None:
    """Checks that an architecture is one of `COMPARED`.

    Raises:
        ConfigError: it is not.
    """
    if (kind := backbone.config.model_type) not in COMPARED:
        raise ConfigError(
            f"whether its places in the architecture {kind!r} are those of lnbench is not known; known: "
            f"{', '.join(COMPARED)}"
        )
