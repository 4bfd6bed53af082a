"""Finds the linear maps of a backbone that an adapter changes."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from torch import nn

from lnbench.backbone.backbone import Backbone, LinearMap
from lnbench.backbone.tables import Map, Side
from lnbench.core.schema import ConfigError
from lnbench.methods.parts.weight_updates import MAPS


class Block(NamedTuple):
    """A block of a model."""

    side: Side | None
    """Side of an encoder-decoder; None in other models."""
    number: int
    """Number of the block on its side, counted from 0."""


class Place(NamedTuple):
    """A linear map of a block."""

    block: Block
    role: Map
    layer: str
    """Name of its layer in the model."""
    map: LinearMap


def targets(backbones: Sequence[Backbone], tuned: Iterable[str]) -> list[Place]:
    """The linear maps of layers that an adapter changes.

    Args:
        backbones: the model; an encoder-decoder has two.
        tuned: names of layers.

    Raises:
        ConfigError: a layer has no role.
    """
    changed = set(tuned)
    roles = (role for some in MAPS.values() for role in some)
    found = [place for place in places_of(backbones, roles) if place.layer in changed]
    check_roles(changed - {place.layer for place in found})
    return found


def reach_of(chosen: Iterable[Place]) -> dict[str, Any]:
    """The settings of a method that changes some linear maps. Further maps that it covers stay unchanged."""
    chosen = list(chosen)
    roles = {place.role for place in chosen}
    return {
        "targets": [target for target, maps in MAPS.items() if roles & set(maps)],
        "layers": listed(place.block for place in chosen),
    }


def names_of(backbone: Backbone) -> dict[nn.Module, str]:
    """The name of each module of the model. The two backbones of an encoder-decoder have one model."""
    return {module: name for name, module in backbone.model.named_modules()}


def places_of(backbones: Sequence[Backbone], roles: Iterable[Map]) -> Iterator[Place]:
    """All linear maps of some roles."""
    names = names_of(backbones[0])
    for role in roles:
        for backbone in backbones:
            for block in blocks_of(backbone):
                for linear_map in backbone.linear_maps(role, block.number):
                    yield Place(block, role, names[linear_map.layer], linear_map)


def blocks_of(backbone: Backbone) -> list[Block]:
    """All blocks, in order."""
    return [Block(backbone.side, number) for number in range(backbone.num_layers)]


def listed(blocks: Iterable[Block]) -> str:
    """Blocks as a method's setting `layers`, such as `1,3` or `encoder:1,2,decoder:1`."""
    numbers: dict[Side | None, list[str]] = {}
    for side, number in sorted(set(blocks), key=lambda block: (block.side == "decoder", block.number)):
        numbers.setdefault(side, []).append(str(number + 1))
    return ",".join(f"{side}:" * bool(side) + ",".join(of_side) for side, of_side in numbers.items())


def check_roles(unknown: set[str]) -> None:
    """Refuses an adapter that changes layers without a role.

    Raises:
        ConfigError: there are such layers.
    """
    if unknown:
        raise ConfigError(f"the adapter changes what no method of its kind changes here: {', '.join(sorted(unknown))}")
