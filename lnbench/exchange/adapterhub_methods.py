"""Turns adapters of AdapterHub's `adapters` into settings and values of lnbench's methods."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers.activations import get_activation

from lnbench.backbone.backbone import Backbone
from lnbench.backbone.tables import Map, Sublayer
from lnbench.core.schema import ConfigError
from lnbench.exchange.importing import Part, Tensors
from lnbench.exchange.places import Place, listed, names_of, reach_of, targets

KINDS = "adapters|loras|refts|prefix_tunings|shared_parameters"
EMPTY: tuple[Any, ...] = (None, False, [])
"""Values of all settings that are not named below."""
ONLY_TRAINING = {"dropout", "dtype", "init_weights", "init_weights_seed", "leave_out"}
"""Settings that act in training only, or that the tensors show."""
ACTIVATIONS = {"gelu": "gelu", "relu": "relu", "silu": "silu", "swish": "silu"}
COMPARED = ("bert", "distilbert", "electra", "gpt2", "llama", "roberta", "xlm-roberta")
"""Architectures for which the places of bottleneck adapters and prefixes are known to be the same."""
LETTERS: dict[str, Map] = {"q": "query", "k": "key", "v": "value"}
SETTINGS: dict[Sublayer, str] = {"mha": "mh_adapter", "ffn": "output_adapter"}
"""Settings that put a bottleneck adapter at a sublayer."""
ENDS: dict[Sublayer, tuple[str, ...]] = {
    "mha": ("attention.output", "attention_adapters"),
    "ffn": ("output", "output_adapters"),
}
"""Names of the modules in a block that have such an adapter."""
Networks = dict[tuple[int, Sublayer], Tensors]
"""Networks of bottleneck adapters by block and sublayer."""


class Tuned(NamedTuple):
    """A tensor of an adapter."""

    host: str
    """Name of the module at which it is, without that of the model."""
    kind: str
    leaf: str
    """Its name in the module that was inserted there."""
    value: Tensor


class Adapter:
    """An adapter as `adapters` has saved it."""

    def __init__(self, name: str, tensors: Tensors) -> None:
        """
        Args:
            name: name of the adapter.
            tensors: by name in the model.
        """
        pattern = re.compile(rf"(?:(.*)\.)?({KINDS})\.{re.escape(name)}\.(.+)")
        matches = {full: pattern.fullmatch(full) for full in tensors}
        self.unknown = [full for full, match in matches.items() if not match]
        """Names of tensors of other kinds."""
        self._left = [
            Tuned(match[1] or "", match[2], match[3], tensors[full].float())
            for full, match in matches.items()
            if match and ".pool." not in full  # copies of the prefixes, one for each layer
        ]

    @property
    def left(self) -> list[str]:
        """Names of the tensors that were not taken."""
        return [*self.unknown, *(f"{one.host}.{one.kind}.{one.leaf}" for one in self._left)]

    def take(self, kind: str, hosts: Iterable[str]) -> dict[str, Tensors]:
        """The tensors of a kind at some modules, by module and name.

        Args:
            kind: one of `KINDS`.
            hosts: names of the modules. The model in which the adapter was saved may have had another prefix.
        """
        found: dict[str, Tensors] = {}
        for one in [one for one in self._left if one.kind == kind]:
            tails = [one.host, one.host.partition(".")[2]]
            names = [name for name in hosts if name in tails or name.endswith(f".{one.host}")]
            if names:
                found.setdefault(names[0], {})[one.leaf] = one.value
                self._left.remove(one)
        return found


Reader = Callable[[Adapter, Backbone], Part]


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
        return _compacter(config) if config.get("phm_layer") else _bottleneck(config)
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


def _check(config: Mapping[str, Any], free: Collection[str], **needed: Any) -> None:
    """Checks the settings of an adapter.

    Args:
        config: the settings.
        free: those that may have any value.
        needed: those that must have this value. All others must be empty.

    Raises:
        ConfigError: naming the settings that have other values.
    """
    foreign = {
        name: value
        for name, value in config.items()
        if name not in ONLY_TRAINING | set(free) | {"architecture"}
        and (value != needed[name] if name in needed else value not in EMPTY)
    }
    if foreign:
        said = ", ".join(f"{name} = {value!r}" for name, value in sorted(foreign.items()))
        raise ConfigError(f"{said}: has no counterpart in lnbench")


def _activation(config: Mapping[str, Any]) -> str:
    name = config["non_linearity"]
    if name not in ACTIVATIONS:
        raise ConfigError(f"non_linearity = {name!r}: lnbench has {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]


BOTTLENECK = {
    "adapter_residual_before_ln", "cross_adapter", "inv_adapter_reduction_factor", "is_parallel", "mh_adapter",
    "non_linearity", "original_ln_before", "output_adapter", "reduction_factor", "residual_before_ln", "scaling",
    "stochastic_depth",
}  # fmt: skip
PHM = {
    "factorized_phm_W", "factorized_phm_rule", "hypercomplex_nonlinearity", "learn_phm", "phm_bias", "phm_c_init",
    "phm_dim", "phm_init_range", "phm_layer", "phm_rank", "shared_W_phm", "shared_phm_rule",
}  # fmt: skip


def _bottleneck(config: Mapping[str, Any]) -> dict[str, Reader]:
    """Sequential and parallel adapters."""
    _check(config, BOTTLENECK | PHM, original_ln_after=True)
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
        "layers": listed(block for block, _ in networks),
    }


def _networks(adapter: Adapter, backbone: Backbone, config: Mapping[str, Any]) -> Networks:
    """The networks after or beside the sublayers that a configuration names.

    Each has the tensors `down.LEAF` and `up.LEAF`, and `scaling` if it is learned.
    """
    _check_compared(backbone)
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


def _check_compared(backbone: Backbone) -> None:
    if (kind := backbone.config.model_type) not in COMPARED:
        raise ConfigError(
            f"whether its places in the architecture {kind!r} are those of lnbench is not known; known: "
            f"{', '.join(COMPARED)}"
        )


def _compacter(config: Mapping[str, Any]) -> dict[str, Reader]:
    rules = {"phm_rank": 1, "phm_bias": True, "shared_phm_rule": True, "factorized_phm_W": True}
    free = (BOTTLENECK | PHM) - {"original_ln_before", "is_parallel", "factorized_phm_rule", "shared_W_phm", *rules}
    _check(config, free, original_ln_after=True, scaling=1.0, **rules)
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
    return Part({**settings, "bottleneck": size, "layers": listed(block for block, _ in networks)}, values)


def _lora(version: str, config: Mapping[str, Any]) -> dict[str, Reader]:
    """LoRA, DoRA, and the rescaling of (IA)^3."""
    free = {"alpha", "attn_matrices", "composition_mode", "intermediate_lora", "output_lora", "r", "selfattn_lora"}
    _check(config, free | {"use_dora"}, vera_b=None, vera_d=None)
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
    for place in targets(backbone, tuned):
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
    return [backbone.linear_maps(role, place.block)[0].out_features for role in _fused(config)]


def _prefix(config: Mapping[str, Any]) -> dict[str, Reader]:
    free = {"bottleneck_size", "cross_prefix", "encoder_prefix", "flat", "non_linearity", "prefix_length"}
    _check(config, free | {"shared_gating"})
    return {"prefix": partial(_read_prefix, config)}


def _read_prefix(config: Mapping[str, Any], adapter: Adapter, backbone: Backbone) -> Part:
    """Keys and values. If an MLP computes them, they are computed once."""
    _check_compared(backbone)
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
    return Part({"length": length, "mlp_size": None, "layers": listed(blocks)}, values)


def _reft(config: Mapping[str, Any]) -> dict[str, Reader]:
    free = {"layers", "output_reft", "prefix_positions", "r", "suffix_positions", "tied_weights"}
    _check(config, free, orthogonality=True, subtract_projection=True)
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
    return Part({"rank": config["r"], "first": first, "last": last, "layers": listed(blocks)}, values)


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
