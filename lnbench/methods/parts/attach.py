"""Attaches a sum of methods to one backbone."""

from collections.abc import Mapping

from torch import nn

from lnbench.backbone.backbone import Backbone
from lnbench.core.seeding import seeded
from lnbench.methods.base import Method


def attach(parts: Mapping[str, Method], backbone: Backbone, seed: int) -> dict[str, list[str]]:
    """Freezes the backbone, then makes trainable the union of what the parts claim.

    Parts are attached by stage, within a stage in alphabetical order, each with random numbers of
    its own, so that neither the order in which they were named nor the company of other parts
    changes a part's start.

    Args:
        parts: the methods by name.
        backbone: an untouched backbone.
        seed: of the initial values of inserted modules.

    Returns:
        For each part the names, within `backbone.model`, of the parameters it claims. A parameter
        that several parts claim stands with each of them.
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
