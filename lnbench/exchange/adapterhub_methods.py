"""Turns adapters of AdapterHub's `adapters` into settings and values of lnbench's methods."""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers.activations import get_activation

from lnbench.backbone.backbone import Backbone
from lnbench.backbone.tables import Map
from lnbench.core.schema import ConfigError
from lnbench.exchange.adapterhub_format import Adapter, Reader, check_compared, check_settings
from lnbench.exchange.adapterhub_networks import bottleneck_readers, compacter_readers
from lnbench.exchange.importing import Part, Tensors
from lnbench.exchange.places import Block, Place, listed, names_of, reach_of, targets

LETTERS: dict[str, Map] = {"q": "query", "k": "key", "v": "value"}


def readers(config: Mapping[str, Any], version: str) -> dict[str, Reader]:
    """The functions that read an adapter, by the method of lnbench.

    Args:
        config: the adapter's own settings.
        version: of `adapters`, as the adapter names it.

    Raises:
        ConfigError: there is no such method, or it lacks a setting.
    """
    architecture = config.get("architecture")
    if architecture == "union":
        parts = [item for one in config["configs"] for item in readers(one, version).items()]
        if twice := sorted({name for name, _ in parts if [some for some, _ in parts].count(name) > 1}):
            raise ConfigError(f"its parts are both {', '.join(twice)}; a sum of lnbench has each method once")
        return dict(parts)
    if architecture is None and "non_linearity" in config:
        return compacter_readers(config) if config.get("phm_layer") else bottleneck_readers(config)
    known: dict[Any, Callable[[Mapping[str, Any]], dict[str, Reader]]] = {
        "lora": partial(_lora, version),
        "prefix_tuning": _prefix,
        "reft": _reft,
    }
    if architecture == "prompt_tuning":
        raise ConfigError(
            "architecture = 'prompt_tuning': its vectors come after the position embeddings, and those of method "
            "prompt before them"
        )
    if architecture not in known:
        raise ConfigError(f"architecture = {architecture!r}: has no counterpart in lnbench")
    return known[architecture](config)


def _lora(version: str, config: Mapping[str, Any]) -> dict[str, Reader]:
    """LoRA, DoRA, and the rescaling of (IA)^3."""
    free = {"alpha", "attn_matrices", "composition_mode", "intermediate_lora", "output_lora", "r", "selfattn_lora"}
    check_settings(config, free | {"use_dora"}, vera_b=None, vera_d=None)
    if config["composition_mode"] == "scale":
        return {"ssf": partial(_read_rescaling, config)}
    alpha = config["r"] if _ignored_alpha(version) else config["alpha"]
    if config.get("use_dora") and alpha != config["r"]:
        raise ConfigError(
            f"use_dora = True with alpha = {alpha} and r = {config['r']}: adapters leaves alpha / r out of the lengths "
            f"by which it divides, so only alpha = r is DoRA"
        )
    return {"lora": partial(_read_lora, {**config, "alpha": alpha})}


def _ignored_alpha(version: str) -> bool:
    """Whether LoRA was trained by a version of `adapters` (before 1.1) that took alpha / r for 1."""
    match = re.fullmatch(r"adapters\.(\d+)\.(\d+)\..*", version)
    return match is not None and (int(match[1]), int(match[2])) < (1, 1)


def _read_lora(config: Mapping[str, Any], adapter: Adapter, backbone: Backbone) -> Part:
    tuned = adapter.take("loras", names_of(backbone).values())
    rank, values, chosen = config["r"], {}, []
    for place, piece, pieces in _pieces(backbone, tuned, config):
        theirs, inserted = tuned[place.layer], f"{place.layer}.lora_{place.role}"
        values[f"{inserted}.a"] = theirs["lora_A"].chunk(pieces)[piece]
        values[f"{inserted}.b"] = theirs["lora_B"].split(_sizes(backbone, place, config))[piece]
        if config.get("use_dora"):
            if place.map.rows is not None or getattr(place.map.layer, "bias", None) is not None:
                raise ConfigError(f"use_dora = True: adapters scales the bias of {place.layer} too, unlike DoRA")
            values[f"{inserted}.magnitude"] = theirs["m.weight"].flatten()
        chosen.append(place)
    settings = {"rank": rank, "alpha": float(config["alpha"]), "rslora": False, "dora": bool(config.get("use_dora"))}
    return Part({**reach_of(chosen), **settings, "dropout": config.get("dropout", 0.0)}, values)


def _read_rescaling(config: Mapping[str, Any], adapter: Adapter, backbone: Backbone) -> Part:
    """Factors of a layer's outputs: those of the feed-forward network come before its activation, unlike in (IA)^3."""
    tuned = adapter.take("loras", names_of(backbone).values())
    values, blocks = {}, []
    for place, piece, _ in _pieces(backbone, tuned, config):
        factors = tuned[place.layer]["lora_B"].flatten().split(_sizes(backbone, place, config))[piece]
        values[f"{place.layer}.ssf_{place.role}.scale"] = factors * config["alpha"]
        blocks.append(place.block)
    return Part({"layers": listed(blocks)}, values)


def _pieces(
    backbone: Backbone, tuned: Mapping[str, Tensors], config: Mapping[str, Any]
) -> Iterator[tuple[Place, int, int]]:
    """The tuned maps, each with its place among the tuned maps of its layer and their number."""
    for place in targets([backbone], tuned):
        roles = [place.role] if place.map.rows is None else _fused(config)
        if place.role in roles:
            yield place, roles.index(place.role), len(roles)


def _fused(config: Mapping[str, Any]) -> list[Map]:
    """The tuned maps of a layer that holds queries, keys and values, in their order."""
    return [role for letter, role in LETTERS.items() if letter in config["attn_matrices"]]


def _sizes(backbone: Backbone, place: Place, config: Mapping[str, Any]) -> list[int]:
    """The numbers of outputs of the tuned maps of a layer."""
    if place.map.rows is None:
        return [place.map.out_features]
    return [backbone.linear_maps(role, place.block.number)[0].out_features for role in _fused(config)]


def _prefix(config: Mapping[str, Any]) -> dict[str, Reader]:
    free = {"bottleneck_size", "cross_prefix", "encoder_prefix", "flat", "non_linearity", "prefix_length"}
    check_settings(config, free | {"shared_gating"})
    return {"prefix": partial(_read_prefix, config)}


def _read_prefix(config: Mapping[str, Any], adapter: Adapter, backbone: Backbone) -> Part:
    """Keys and values. If an MLP computes them, they are computed once."""
    check_compared(backbone)
    taken = adapter.take("prefix_tunings", ["prefix_tuning"])
    theirs = {name.removeprefix("self_prefix."): value for name, value in taken.get("prefix_tuning", {}).items()}
    blocks = [block for block in range(backbone.num_layers) if block not in (config.get("leave_out") or [])]
    flat = theirs.get("control_trans")
    if flat is None:
        hidden = nn.functional.linear(
            theirs["wte.weight"], theirs["control_trans.0.weight"], theirs["control_trans.0.bias"]
        )
        hidden = get_activation(config["non_linearity"].lower())(hidden)
        flat = nn.functional.linear(hidden, theirs["control_trans.2.weight"], theirs["control_trans.2.bias"])
    names, length = names_of(backbone), config["prefix_length"]
    size = backbone.linear_maps("query", 0)[0].out_features // backbone.heads
    by_layer = flat.reshape(length, len(blocks), 2, -1, size).permute(1, 2, 3, 0, 4).contiguous()
    values = {
        f"{names[backbone.attentions(block)[0]]}.prefix.{name}": by_layer[place, index]
        for place, block in enumerate(blocks)
        for index, name in enumerate(("key", "value"))
    }
    return Part({"length": length, "mlp_size": None, "layers": listed(Block(None, block) for block in blocks)}, values)


def _reft(config: Mapping[str, Any]) -> dict[str, Reader]:
    free = {"layers", "output_reft", "prefix_positions", "r", "suffix_positions", "tied_weights"}
    check_settings(config, free, orthogonality=True, subtract_projection=True)
    if config["prefix_positions"] and config["suffix_positions"] and not config["tied_weights"]:
        raise ConfigError(
            "tied_weights = False with prefix_positions and suffix_positions: lnbench has one edit for both ends"
        )
    return {"loreft": partial(_read_reft, config)}


def _read_reft(config: Mapping[str, Any], adapter: Adapter, backbone: Backbone) -> Part:
    names = names_of(backbone)
    first, last, values, blocks = config["prefix_positions"], config["suffix_positions"], {}, []
    unit = "units.0." if first or config["tied_weights"] else "units.1."
    for block, module in enumerate(backbone.blocks):
        for tensors in adapter.take("refts", [f"{names[module]}.reft_layer"]).values():
            own = {name.removeprefix(unit): value for name, value in tensors.items() if name.startswith(unit)}
            values[f"{names[module]}.loreft.basis"] = _projection(own).T.contiguous()
            values[f"{names[module]}.loreft.weight"] = own["learned_source.weight"]
            values[f"{names[module]}.loreft.bias"] = own["learned_source.bias"]
            blocks.append(block)
    return Part(
        {"rank": config["r"], "first": first, "last": last, "layers": listed(Block(None, block) for block in blocks)},
        values,
    )


def _projection(unit: Tensors) -> Tensor:
    """The matrix of orthonormal rows, (rank, size), that torch computes from the stored tensors."""
    start = "projection."
    stored = {name.removeprefix(start): value for name, value in unit.items() if name.startswith(start)}
    rank, size = stored["parametrizations.weight.original"].shape
    layer = nn.utils.parametrizations.orthogonal(nn.Linear(size, rank, bias=False))
    layer.load_state_dict(stored)
    rows: Tensor = layer.get_submodule("parametrizations.weight")().detach()
    if not torch.allclose(rows @ rows.T, torch.eye(rank), atol=1e-3):
        raise ConfigError("a projection has lost rows, as weight decay does to torch's orthogonal matrices")
    return rows
