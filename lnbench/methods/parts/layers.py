"""The blocks of a model that a method tunes."""

import re
from typing import Annotated, get_args

from pydantic import AfterValidator, BeforeValidator

from lnbench.backbone.tables import Side
from lnbench.core.schema import ConfigError

ALL = "all"
_RANGE = re.compile(r"(\d+)(?:-(\d+))?")


def _join(value: object) -> object:
    if isinstance(value, list | tuple):
        return ",".join(str(item) for item in value)
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _check(value: str) -> str:
    _, blocks = _parts(value)
    if blocks != ALL:
        _ranges(blocks)
    return value


Layers = Annotated[str, BeforeValidator(_join), AfterValidator(_check)]
"""`all`, or blocks counted from 1, such as `13-24` or `[1,3,7-9]`. Ranges include both ends.

In an encoder-decoder, these are the blocks of both sides. `encoder` and `decoder` mean all blocks of one side, and
`decoder:1-3` some of them.
"""


def side_of(layers: str) -> Side | None:
    """The side of an encoder-decoder that `layers` (of type `Layers`) names; None: both."""
    return _parts(layers)[0]


def select_layers(layers: str, num_layers: int, field: str) -> list[int]:
    """Indices, counted from 0 and ascending, of the blocks that `layers` names.

    Args:
        layers: a value of the type `Layers`.
        num_layers: number of blocks of the model, or of one side.
        field: name of the setting, for the error message.

    Raises:
        ConfigError: the model has no such block.
    """
    _, blocks = _parts(layers)
    if blocks == ALL:
        return list(range(num_layers))
    ranges = _ranges(blocks)
    highest = max(last for _, last in ranges)
    if highest > num_layers:
        raise ConfigError(f"{field} = {layers!r}: the model has layers 1-{num_layers}")
    return sorted({layer - 1 for first, last in ranges for layer in range(first, last + 1)})


def _parts(layers: str) -> tuple[Side | None, str]:
    """The side, and its blocks."""
    name, _, blocks = layers.partition(":")
    side: Side | None = next((one for one in get_args(Side) if one == name.strip()), None)
    return (None, layers) if side is None else (side, blocks or ALL)


def _ranges(layers: str) -> list[tuple[int, int]]:
    ranges = []
    for item in layers.split(","):
        match = _RANGE.fullmatch(item.strip())
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if not 1 <= first <= last:
            raise ValueError(
                f"must be 'all', or layers counted from 1 such as 13-24 or [1,3,7-9]; {item!r} is not. Of an "
                f"encoder-decoder it may be encoder, decoder, or decoder:1-3, too"
            )
        ranges.append((first, last))
    return ranges
