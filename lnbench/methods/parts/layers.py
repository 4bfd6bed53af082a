"""The blocks of a model that a method tunes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, get_args

from pydantic import AfterValidator, BeforeValidator

from lnbench.backbone.tables import Side
from lnbench.core.schema import ConfigError

if TYPE_CHECKING:
    from lnbench.backbone.backbone import Backbone

ALL = "all"
_RANGE = re.compile(r"(\d+)(?:-(\d+))?")


def _join(value: object) -> object:
    if isinstance(value, list | tuple):
        return ",".join(str(item) for item in value)
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _check(value: str) -> str:
    chosen = _chosen(value)
    if len(chosen) > 1 and (None in chosen or set(chosen.values()) == {ALL}):
        raise _wrong(value)
    for blocks in chosen.values():
        if blocks != ALL:
            _ranges(blocks)
    return value


Layers = Annotated[str, BeforeValidator(_join), AfterValidator(_check)]
"""`all`, or blocks counted from 1, such as `13-24` or `[1,3,7-9]`. Ranges include both ends.

In an encoder-decoder, these are the blocks of both sides. `encoder` and `decoder` mean all blocks of one side,
`decoder:1-3` some of them, and `[encoder:1-3,decoder:2]` some of each side.
"""


def sides_of(layers: str) -> set[Side]:
    """The sides of an encoder-decoder that `layers` (of type `Layers`) names; none: both are meant."""
    return {side for side in _chosen(layers) if side}


def select_layers(layers: str, backbone: Backbone, field: str) -> list[int]:
    """Indices, counted from 0 and ascending, of the blocks that `layers` names.

    Args:
        layers: a value of the type `Layers`.
        backbone: the model, or a side of it that `layers` names.
        field: name of the setting, for the error message.

    Raises:
        ConfigError: the model has no such block.
    """
    chosen = _chosen(layers)
    side = backbone.side if backbone.side in chosen else None
    if chosen[side] == ALL:
        return list(range(backbone.num_layers))
    ranges = _ranges(chosen[side])
    if max(last for _, last in ranges) > backbone.num_layers:
        raise ConfigError(f"{field} = {layers!r}: the {side or 'model'} has layers 1-{backbone.num_layers}")
    return sorted({layer - 1 for first, last in ranges for layer in range(first, last + 1)})


def _chosen(layers: str) -> dict[Side | None, str]:
    """The blocks of each side that is named. The key is None for blocks of both sides, or of a model without sides."""
    chosen: dict[Side | None, str] = {}
    side: Side | None = None
    for item in layers.split(","):
        name, _, blocks = item.partition(":")
        named: Side | None = next((one for one in get_args(Side) if one == name.strip()), None)
        side = named or side
        added = item if named is None else blocks or ALL
        chosen[side] = f"{chosen[side]},{added}" if side in chosen else added
    return chosen


def _ranges(blocks: str) -> list[tuple[int, int]]:
    ranges = []
    for item in blocks.split(","):
        match = _RANGE.fullmatch(item.strip())
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if not 1 <= first <= last:
            raise _wrong(item)
        ranges.append((first, last))
    return ranges


def _wrong(item: str) -> ValueError:
    return ValueError(
        f"must be 'all', or layers counted from 1 such as 13-24 or [1,3,7-9]; {item!r} is not. Of an encoder-decoder "
        f"it may be encoder, decoder, or decoder:1-3, too, or a list such as [encoder:1-3,decoder:2]"
    )
