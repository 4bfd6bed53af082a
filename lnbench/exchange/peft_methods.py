"""Turns adapters of HF peft into settings and values of lnbench's methods."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, get_args

import torch
from torch import nn

from lnbench.backbone.backbone import INNER, SUBLAYERS, Backbone
from lnbench.backbone.tables import Map, Sublayer
from lnbench.core.schema import ConfigError
from lnbench.exchange.importing import Part, Tensors
from lnbench.exchange.peft_format import LN
from lnbench.exchange.places import Block, blocks_of, check_roles, listed, names_of, places_of, reach_of, targets
from lnbench.methods.beft import Bias
from lnbench.methods.parts.random_projections import RandomProjections
from lnbench.methods.parts.weight_updates import MAPS

RESCALED: dict[Map, str] = {"key": "ia3_key", "value": "ia3_value", "ffn_output": "ia3_ffn"}
"""The maps that (IA)^3 changes, and the names of the modules that it inserts there."""


@dataclass
class Adapter:
    """An adapter as peft has saved it."""

    about: Mapping[str, Any]
    """Its settings."""
    base_content: str | None
    """Content of the pretrained model on which it was trained, if lnbench wrote the adapter."""
    tensors: Tensors
    """Tensors that were not taken yet, by name in the model that peft wrapped."""

    def take(self, ending: str, backbones: Sequence[Backbone]) -> Tensors:
        """The tensors whose names have an ending, by layer of the model. Peft may have wrapped a larger model.

        Raises:
            ConfigError: the model has no such layer.
        """
        layers, taken = dict(backbones[0].model.named_modules()), {}
        for name in [name for name in self.tensors if name.endswith(ending)]:
            layer = name.removesuffix(ending)
            layer = layer if layer in layers else layer.partition(".")[2]
            if layer not in layers:
                raise ConfigError(f"the model has no layer {name.removesuffix(ending)}")
            taken[layer] = self.tensors.pop(name)
        return taken


def read_ln(adapter: Adapter, backbones: Sequence[Backbone]) -> Part:
    """Gains and biases of norms. Norms that the adapter leaves out keep their pretrained values.

    Raises:
        ConfigError: a norm is missing, or has no role.
    """
    leaves = {leaf: adapter.take(f".{LN}.{leaf}", backbones) for leaf in ("weight", "bias")}
    values = {f"{layer}.{leaf}": tensor for leaf, taken in leaves.items() for layer, tensor in taken.items()}
    tuned, names = set().union(*leaves.values()), names_of(backbones[0])
    places: dict[str, tuple[Block, Sublayer]] = {}
    inner: dict[str, Block] = {}
    around: dict[str, Block] = {}
    final: dict[str, Block] = {}
    for backbone in backbones:
        first, *_ = blocks = blocks_of(backbone)
        for block in blocks:
            for sublayer in SUBLAYERS:
                for part in backbone.parts_of(sublayer):
                    found = backbone.norms_after(part, block.number, "sublayer")
                    places |= {names[norm]: (block, sublayer) for norm in found}
            inner |= {names[norm]: block for one in INNER for norm in backbone.inner_norms(one, block.number)}
        outside = (backbone.embedding_norm(), *(norm for norm, _ in backbone.other_norms()))
        around |= {names[norm]: first for norm in outside if norm}
        final |= {names[norm]: first for norm in (backbone.final_norm(),) if norm}
    check_roles(tuned - {*places, *inner, *around, *final})
    inside = [places[name] for name in tuned & set(places)]
    owners = {sublayer for _, sublayer in inside} or {"mha"}
    shared = any(backbone.shares_norms for backbone in backbones)
    chosen = SUBLAYERS if shared else [sublayer for sublayer in SUBLAYERS if sublayer in owners]
    reached = [block for block, _ in inside] + [inner[name] for name in tuned & set(inner)]
    sides = {block.side for block in reached}
    outer = [block for some in (around, final) for name, block in some.items() if name in tuned]
    settings = {
        "terms": ["gain", "bias"],
        "norms": [*chosen, *(["inner"] if tuned & set(inner) else [])],
        "layers": listed(reached + [first for first in outer if first.side not in sides]) or "1",
        "norm_reading": "sublayer",
        "embedding_norm": bool(tuned & set(around)),
        "final_norm": bool(tuned & set(final)),
    }
    return Part(settings, values)


def read_lora(adapter: Adapter, backbones: Sequence[Backbone]) -> Part:
    """A and B of linear maps, and the lengths of DoRA.

    Unequal ranks are filled up with zeros, and unequal scales are multiplied into B.

    Raises:
        ConfigError: a layer is missing, or has no role.
    """
    a, b = (adapter.take(f".lora_{matrix}.weight", backbones) for matrix in ("A", "B"))
    lengths = adapter.take(".lora_magnitude_vector", backbones)
    places = targets(backbones, a)
    rank = max(map(len, a.values()))
    scales = {layer: _scale(adapter.about, layer, len(matrix)) for layer, matrix in a.items()}
    scale = max(scales.values())
    values: Tensors = {}
    for place in places:
        inner, outer = a[place.layer], b[place.layer] * (scales[place.layer] / scale)
        own = outer if place.map.rows is None else outer[place.map.rows]
        inserted = f"{place.layer}.lora_{place.role}"
        values[f"{inserted}.a"] = nn.functional.pad(inner, (0, 0, 0, rank - len(inner)))
        values[f"{inserted}.b"] = nn.functional.pad(own, (0, rank - len(inner)))
        if place.layer in lengths:
            whole = lengths[place.layer]
            values[f"{inserted}.magnitude"] = whole if place.map.rows is None else whole[place.map.rows]
    settings = {
        **reach_of(places),
        "rank": rank,
        "alpha": scale * rank,
        "rslora": False,
        "dora": bool(lengths),
        "dropout": adapter.about.get("lora_dropout", 0.0),
    }
    return Part(settings, values)


def read_ia3(adapter: Adapter, backbones: Sequence[Backbone]) -> Part:
    """Factors of keys, values and inner activations.

    Raises:
        ConfigError: a layer is missing, or something else is rescaled.
    """
    factors = adapter.take(".ia3_l", backbones)
    places = [place for place in places_of(backbones, RESCALED) if place.layer in factors]
    values: Tensors = {}
    rest = {layer: column.clone() for layer, column in factors.items()}
    for place in places:
        inner = place.role == "ffn_output"
        column = factors[place.layer].flatten()
        if factors[place.layer].shape[0 if inner else 1] != 1:
            continue
        rows = slice(None) if place.map.rows is None or inner else place.map.rows
        values[f"{place.layer}.{RESCALED[place.role]}.factors"] = column[rows]
        rest[place.layer].view(-1)[rows] = 1
    check_roles({layer for layer, left in rest.items() if (left != 1).any()})
    return Part({"layers": listed(place.block for place in places)}, values)


def read_beft(adapter: Adapter, backbones: Sequence[Backbone]) -> Part:
    """Biases of queries, keys or values.

    Raises:
        ConfigError: a layer is missing, or more than one kind of bias is changed.
    """
    biases = {layer: bias.flatten() for layer, bias in adapter.take(".beft_bias", backbones).items()}
    places = [place for place in places_of(backbones, get_args(Bias)) if place.layer in biases]
    check_roles(set(biases) - {place.layer for place in places})
    own = {place: biases[place.layer][slice(None) if place.map.rows is None else place.map.rows] for place in places}
    changed = {place: bias for place, bias in own.items() if place.map.rows is None or bias.any()}
    kinds = sorted({place.role for place in changed})
    if len(kinds) != 1:
        raise ConfigError(f"the adapter has biases of {', '.join(kinds) or 'nothing'}; beft has those of one map")
    values = {f"{place.layer}.beft_{place.role}.shift": bias for place, bias in changed.items()}
    return Part({"bias": kinds[0], "layers": listed(place.block for place in changed)}, values)


def read_oft(adapter: Adapter, backbones: Sequence[Backbone]) -> Part:
    """Rotations. If a layer holds several maps, all of them get its rotation.

    Raises:
        ConfigError: a layer is missing or has no role, or the blocks differ in size.
    """
    rotations = adapter.take(".oft_R.weight", backbones)
    sizes = {math.isqrt(2 * skew.shape[1]) + 1 for skew in rotations.values()}
    if len(sizes) > 1:
        raise ConfigError(f"its blocks have the sizes {', '.join(map(str, sorted(sizes)))}; lnbench takes one size")
    places = targets(backbones, rotations)
    values = {f"{place.layer}.oft_{place.role}.skew": rotations[place.layer] for place in places}
    return Part({**reach_of(places), "block_size": sizes.pop()}, values)


def read_vera(adapter: Adapter, backbones: Sequence[Backbone]) -> Part:
    """The vectors b and d.

    Raises:
        ConfigError: a layer is missing, has no role or holds several maps, or the projections are not those that
            lnbench draws from the adapter's seed.
    """
    b, d = (adapter.take(f".vera_lambda_{vector}", backbones) for vector in "bd")
    places = targets(backbones, b)
    if shared := sorted({place.layer for place in places if place.map.rows is not None}):
        raise ConfigError(
            f"it has one b for a whole layer of several maps ({', '.join(shared)}); lnbench has one a map"
        )
    reach, rank, seed = reach_of(places), len(next(iter(d.values()))), adapter.about["projection_prng_key"]
    roles = [role for target in reach["targets"] for role in MAPS[target]]
    inputs, reached = (max(p.map.in_features for p in some) for some in (places, places_of(backbones, roles)))
    if inputs != reached:
        raise ConfigError(
            "it leaves out linear maps of the feed-forward network, with which other projections are drawn"
        )
    drawn = RandomProjections(rank, inputs, max(place.map.out_features for place in places), seed)
    for name, own in (("vera_A", drawn.a), ("vera_B", drawn.b)):
        theirs = adapter.tensors.pop(f"base_model.{name}", own)
        if theirs.shape != own.shape or not torch.allclose(theirs, own):
            raise ConfigError(f"its {name} is not the one that is drawn from projection_prng_key = {seed}")
    values = {f"{place.layer}.vera_{place.role}.b": b[place.layer] for place in places}
    values |= {f"{place.layer}.vera_{place.role}.d": d[place.layer] for place in places}
    settings = {"rank": rank, "projection_seed": seed, "d_initial": adapter.about["d_initial"]}
    return Part({**reach, **settings}, values)


def _scale(about: Mapping[str, Any], layer: str, rank: int) -> float:
    """A pattern's key is a regular expression for the end of a layer's name."""
    patterns = about.get("alpha_pattern") or {}
    alpha = next((value for key, value in patterns.items() if re.fullmatch(rf"(.*\.)?({key})", layer)), None)
    alpha = about["lora_alpha"] if alpha is None else alpha
    return float(alpha / (rank**0.5 if about.get("use_rslora") else rank))


class Kind(NamedTuple):
    """A kind of adapter that lnbench has."""

    method: str
    """Name of the method in lnbench."""
    read: Callable[[Adapter, Sequence[Backbone]], Part]


KINDS = {
    "BEFT": Kind("beft", read_beft),
    "IA3": Kind("ia3", read_ia3),
    "LN_TUNING": Kind("ln", read_ln),
    "LORA": Kind("lora", read_lora),
    "OFT": Kind("oft", read_oft),
    "VERA": Kind("vera", read_vera),
}
"""The kinds, by peft's name."""
