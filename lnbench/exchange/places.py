"""Finds the linear maps of a backbone that an adapter changes."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from torch import nn

from lnbench.backbone.backbone import Backbone, LinearMap
from lnbench.backbone.tables import Map
from lnbench.core.schema import ConfigError
from lnbench.methods.parts.weight_updates import MAPS


class Place(NamedTuple):
    """A linear map of a block."""

    block: int
    """Number of the block, counted from 0."""
    role: Map
    layer: str
    """Name of its layer in the backbone."""
    map: LinearMap


def targets(backbone: Backbone, tuned: Iterable[str]) -> list[Place]:
    """The linear maps of layers that an adapter changes.

    Raises:
        ConfigError: a layer has no role.
    """
    changed = set(tuned)
    roles = (role for some in MAPS.values() for role in some)
    found = [place for place in places_of(backbone, roles) if place.layer in changed]
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
    """The name of each module of the backbone."""
    return {module: name for name, module in backbone.model.named_modules()}


def places_of(backbone: Backbone, roles: Iterable[Map]) -> Iterator[Place]:
    """All linear maps of some roles."""
    names = names_of(backbone)
    for role in roles:
        for block in range(backbone.num_layers):
            for linear_map in backbone.linear_maps(role, block):
                yield Place(block, role, names[linear_map.layer], linear_map)


def listed(blocks: Iterable[int]) -> str:
    """Blocks, counted from 0, as a method's setting `layers`."""
    return ",".join(str(block + 1) for block in sorted(set(blocks)))


def check_roles(unknown: set[str]) -> None:
    """Refuses an adapter that changes layers without a role.

    Raises:
        ConfigError: there are such layers.
    """
    if unknown:
        raise ConfigError(f"the adapter changes what no method of its kind changes here: {', '.join(sorted(unknown))}")
