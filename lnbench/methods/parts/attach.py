"""Attaches a sum of methods to one backbone."""

from collections.abc import Mapping

from torch import nn

from lnbench.backbone.backbone import Backbone
from lnbench.core.seeding import seeded
from lnbench.methods.base import Method


def attach(parts: Mapping[str, Method], backbone: Backbone, seed: int) -> dict[str, list[str]]:
    """Freezes the backbone, then makes trainable the union of what the parts claim.

    Parts are attached by stage, and within a stage in alphabetical order. Each has its own random numbers. So the
    initial values of a part do not depend on the order of the sum or on its other parts.

    Args:
        parts: the methods by name.
        backbone: an untouched backbone.
        seed: seed of the initial values of inserted modules.

    Returns:
        For each part, the names of the parameters that it claims within `backbone.model`. A parameter that several
        parts claim is listed for each of them.
    """
    backbone.model.requires_grad_(False)
    claims: dict[str, list[nn.Parameter]] = {}
    for name in sorted(parts, key=lambda name: (parts[name].stage, name)):
        with seeded(seed, name):
            claims[name] = parts[name].attach(backbone)
    names = {id(parameter): name for name, parameter in backbone.model.named_parameters()}
    for parameter in (parameter for claimed in claims.values() for parameter in claimed):
        parameter.requires_grad_(True)
    return {name: sorted({names[id(parameter)] for parameter in claimed}) for name, claimed in claims.items()}
