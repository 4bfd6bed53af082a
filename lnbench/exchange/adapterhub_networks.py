"""Turns bottleneck adapters of AdapterHub's `adapters` into settings and values of lnbench's methods."""

import re
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import nn

from lnbench.backbone.backbone import Backbone
from lnbench.backbone.tables import Sublayer
from lnbench.core.schema import ConfigError
from lnbench.exchange.adapterhub_format import Adapter, Reader, check_compared, check_settings
from lnbench.exchange.importing import Part, Tensors
from lnbench.exchange.places import Block, listed, names_of

ACTIVATIONS = {"gelu": "gelu", "relu": "relu", "silu": "silu", "swish": "silu"}
SETTINGS: dict[Sublayer, str] = {"mha": "mh_adapter", "ffn": "output_adapter"}
"""Settings that put a bottleneck adapter at a sublayer."""
ENDS: dict[Sublayer, tuple[str, ...]] = {
    "mha": ("attention.output", "attention_adapters"),
    "ffn": ("output", "output_adapters"),
}
"""Names of the modules in a block that have such an adapter."""
Networks = dict[tuple[int, Sublayer], Tensors]
"""Networks of bottleneck adapters by block and sublayer."""
BOTTLENECK = {
    "adapter_residual_before_ln", "cross_adapter", "inv_adapter_reduction_factor", "is_parallel", "mh_adapter",
    "non_linearity", "original_ln_before", "output_adapter", "reduction_factor", "residual_before_ln", "scaling",
    "stochastic_depth",
}  # fmt: skip
PHM = {
    "factorized_phm_W", "factorized_phm_rule", "hypercomplex_nonlinearity", "learn_phm", "phm_bias", "phm_c_init",
    "phm_dim", "phm_init_range", "phm_layer", "phm_rank", "shared_W_phm", "shared_phm_rule",
}  # fmt: skip


def bottleneck_readers(config: Mapping[str, Any]) -> dict[str, Reader]:
    """Sequential and parallel adapters, by method."""
    check_settings(config, BOTTLENECK | PHM, original_ln_after=True)
    _activation(config)
    mha, ffn = config["mh_adapter"], config["output_adapter"]
    before = config.get("original_ln_before", False)
    if config.get("is_parallel"):
        chosen = {"mha_parallel_adapter": mha, "parallel_adapter": ffn}
        return {name: partial(_read_parallel, name, config) for name, there in chosen.items() if there}
    if before and (mha or config.get("residual_before_ln") is not True):
        raise ConfigError(
            f"original_ln_before = True with mh_adapter = {mha} and residual_before_ln = "
            f"{config.get('residual_before_ln')!r}: has no counterpart in lnbench"
        )
    name = {(True, True): "houlsby", (True, False): "mha_adapter", (False, True): "adapter"}[mha, ffn]
    return {name: partial(_read_sequential, name, config)}


def _read_sequential(method: str, config: Mapping[str, Any], adapter: Adapter, backbone: Backbone) -> Part:
    networks = _networks(adapter, backbone, config)
    hosts = {place: backbone.output_of(place[1], place[0]) for place in networks}
    settings = _common(networks, config)
    if method == "adapter":
        settings["reads"] = "block" if config.get("original_ln_before") else "ffn"
        if config.get("original_ln_before"):
            hosts = {(block, _): backbone.closing_norm(block) or backbone.blocks[block] for block, _ in networks}
    scaled = {place: _scaled(network, _constant(config)) for place, network in networks.items()}
    return Part(settings, _named(method, scaled, hosts, backbone))


def _read_parallel(method: str, config: Mapping[str, Any], adapter: Adapter, backbone: Backbone) -> Part:
    if backbone.table.placement != "post":
        raise ConfigError("is_parallel = True: its adapters read the residual stream before the norm, lnbench's after")
    one = {"mh_adapter": method == "mha_parallel_adapter", "output_adapter": method == "parallel_adapter"}
    networks = _networks(adapter, backbone, {**config, **one})
    hosts = {place: backbone.output_of(place[1], place[0]) for place in networks}
    scaled = {place: _scaled(network, 1.0) for place, network in networks.items()}
    settings = {**_common(networks, config), "scale": _constant(config)}
    return Part(settings, _named(method, scaled, hosts, backbone))


def _constant(config: Mapping[str, Any]) -> float:
    """The constant factor of a network's output; 1 if the factor is learned, because then the adapter has it."""
    scaling = config.get("scaling", 1.0)
    return 1.0 if isinstance(scaling, str) else float(scaling)


def _common(networks: Networks, config: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "bottleneck": max(len(network["down.bias"]) for network in networks.values()),
        "activation": _activation(config),
        "layers": listed(Block(None, block) for block, _ in networks),
    }


def _networks(adapter: Adapter, backbone: Backbone, config: Mapping[str, Any]) -> Networks:
    """The networks after or beside the sublayers that a configuration names.

    Each has the tensors `down.LEAF` and `up.LEAF`, and `scaling` if it is learned.
    """
    check_compared(backbone)
    names, found = names_of(backbone), {}
    chosen = [sublayer for sublayer, key in SETTINGS.items() if config[key]]
    for block, module in enumerate(backbone.blocks):
        for sublayer in chosen:
            hosts = [f"{names[module]}.{end}" for end in ENDS[sublayer]]
            for network in adapter.take("adapters", hosts).values():
                found[block, sublayer] = {_short(name): value for name, value in network.items()}
    if not found:
        raise ConfigError("it has no adapter at a sublayer")
    return found


def _short(name: str) -> str:
    """The name of a network's tensor, without places in lists.

    Raises:
        ConfigError: lnbench's networks have no such tensor.
    """
    match = re.fullmatch(r"adapter_(down|up)\.(?:\d+\.)?(.+)", name)
    if not match and name != "scaling":
        raise ConfigError(f"its networks have {name}, and lnbench's have not")
    return f"{match[1]}.{match[2]}" if match else name


def _scaled(network: Tensors, constant: float) -> Tensors:
    """The network with all factors of its output, constant and learned, multiplied into its second layer."""
    scale = constant * network.get("scaling", torch.ones(1))
    return {
        "down.weight": network["down.weight"],
        "down.bias": network["down.bias"],
        "up.weight": network["up.weight"] * scale[:, None],
        "up.bias": network["up.bias"] * scale,
    }


def _named(
    method: str, networks: Networks, hosts: Mapping[tuple[int, Sublayer], nn.Module], backbone: Backbone
) -> Tensors:
    """The two linear layers of all networks by name, filled up with zeros to the largest bottleneck."""
    names, size, values = names_of(backbone), max(len(one["down.bias"]) for one in networks.values()), {}
    for place, network in networks.items():
        start, more = f"{names[hosts[place]]}.{method}", size - len(network["down.bias"])
        values[f"{start}.0.weight"] = nn.functional.pad(network["down.weight"], (0, 0, 0, more))
        values[f"{start}.0.bias"] = nn.functional.pad(network["down.bias"], (0, more))
        values[f"{start}.2.weight"] = nn.functional.pad(network["up.weight"], (0, more))
        values[f"{start}.2.bias"] = network["up.bias"]
    return values


def compacter_readers(config: Mapping[str, Any]) -> dict[str, Reader]:
    """Compacter's adapters."""
    rules = {"phm_rank": 1, "phm_bias": True, "shared_phm_rule": True, "factorized_phm_W": True}
    free = (BOTTLENECK | PHM) - {"original_ln_before", "is_parallel", "factorized_phm_rule", "shared_W_phm", *rules}
    check_settings(config, free, original_ln_after=True, scaling=1.0, **rules)
    sublayers = [sublayer for sublayer, key in SETTINGS.items() if config[key]]
    settings = {"sublayers": sublayers, "terms": config["phm_dim"], "activation": _activation(config)}
    return {"compacter": partial(_read_compacter, settings, config)}


def _read_compacter(
    settings: Mapping[str, Any], config: Mapping[str, Any], adapter: Adapter, backbone: Backbone
) -> Part:
    names = names_of(backbone)
    base = names[backbone.base]
    networks = _networks(adapter, backbone, config)
    shared = adapter.take("shared_parameters", [base])
    values = {f"{base}.compacter.factors".lstrip("."): shared[base]["phm_rule"].transpose(1, 2).contiguous()}
    for (block, sublayer), network in networks.items():
        host = f"{names[backbone.output_of(sublayer, block)]}.compacter"
        for end, place in (("down", 0), ("up", 2)):
            values[f"{host}.{place}.t"] = network[f"{end}.W_left"].squeeze(2)
            values[f"{host}.{place}.s"] = network[f"{end}.W_right"].squeeze(1)
            values[f"{host}.{place}.bias"] = network[f"{end}.b"]
    size = len(next(iter(networks.values()))["down.b"])
    return Part({**settings, "bottleneck": size, "layers": listed(Block(None, block) for block, _ in networks)}, values)


def _activation(config: Mapping[str, Any]) -> str:
    name = config["non_linearity"]
    if name not in ACTIVATIONS:
        raise ConfigError(f"non_linearity = {name!r}: lnbench has {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]
