"""The blocks of a model that a method tunes."""

import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator

from lnbench.core.schema import ConfigError

ALL = "all"
_RANGE = re.compile(r"(\d+)(?:-(\d+))?")


def _join(value: object) -> object:
    if isinstance(value, list | tuple):
        return ",".join(str(item) for item in value)
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _check(value: str) -> str:
    if value != ALL:
        _ranges(value)
    return value


Layers = Annotated[str, BeforeValidator(_join), AfterValidator(_check)]
"""`all`, or blocks counted from 1, such as `13-24` or `[1,3,7-9]`. Ranges include both ends."""


def select_layers(layers: str, num_layers: int, field: str) -> list[int]:
    """Indices, counted from 0 and ascending, of the blocks that `layers` names.

    Args:
        layers: a value of the type `Layers`.
        num_layers: number of blocks of the model.
        field: name of the setting, for the error message.

    Raises:
        ConfigError: the model has no such block.
    """
    if layers == ALL:
        return list(range(num_layers))
    ranges = _ranges(layers)
    highest = max(last for _, last in ranges)
    if highest > num_layers:
        raise ConfigError(f"{field} = {layers!r}: the model has layers 1-{num_layers}")
    return sorted({layer - 1 for first, last in ranges for layer in range(first, last + 1)})


def _ranges(layers: str) -> list[tuple[int, int]]:
    ranges = []
    for item in layers.split(","):
        match = _RANGE.fullmatch(item.strip())
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if not 1 <= first <= last:
            raise ValueError(f"must be 'all', or layers counted from 1 such as 13-24 or [1,3,7-9]; {item!r} is not")
        ranges.append((first, last))
    return ranges
