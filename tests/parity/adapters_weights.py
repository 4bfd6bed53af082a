"""From the weights of AdapterHub's `adapters` to ours, differentiable."""

import re
from collections.abc import Iterator, Mapping

from torch import Tensor
from transformers import PreTrainedConfig

from tests.parity.compare import Tensors

HOSTS = {
    "attention.output.adapters": "attention.output.dense",
    "output.adapters": "output.dense",
    "attention_adapters.adapters": "attn.c_proj",
    "output_adapters.adapters": "mlp.c_proj",
}
"""Where an adapter hangs in `adapters`, and the layer that has it as a submodule in lnbench."""
ENDS = {"output.adapters": "output.LayerNorm.", "output_adapters.adapters": ""}
"""The same where it reads what the block would yield: at the block's last norm, or else at the block itself."""
ADAPTER = re.compile(r"(.*\.\d+)\.(.*adapters)\.tuning\.adapter_(down|up)\.(?:\d\.)?(\w+)")
ATTENTION = {"bert": "encoder.layer.{}.attention.self", "gpt2": "h.{}.attn"}


def to_ours(method: str, config: PreTrainedConfig, weights: Tensors) -> Tensors:
    """Translates all weights of a method.

    Args:
        method: name in lnbench; of the adapter, for a sum of an adapter and a prefix.
        config: of the backbone.
        weights: by their names in `adapters`.
    """
    part = {"mam": "parallel_adapter", "seq_bn": "adapter"}.get(method, method)
    hosts = ENDS if method == "seq_bn" else {place: f"{layer}." for place, layer in HOSTS.items()}
    return {
        ours: tensor
        for name, weight in weights.items()
        for ours, tensor in _translated(part, hosts, config, name, weight)
    }


def _translated(
    part: str, hosts: Mapping[str, str], config: PreTrainedConfig, name: str, weight: Tensor
) -> Iterator[tuple[str, Tensor]]:
    if match := ADAPTER.fullmatch(name):
        block, place, end, leaf = match.groups()
        ours, value = _of_adapter(leaf, weight)
        yield f"{block}.{hosts[place]}{part}.{0 if end == 'down' else 2}.{ours}", value
    elif name.endswith("phm_rule"):
        yield "compacter.factors", weight.transpose(1, 2)
    elif name.endswith("control_trans"):
        yield from _of_prefix(config, weight)
    else:
        layer, _, matrix = name.rpartition(".loras.tuning.lora_")
        fused = layer.endswith("c_attn")
        roles = ("query", "value") if fused else (layer.rpartition(".")[2],)
        for role, piece in zip(roles, weight.chunk(len(roles)), strict=True):
            yield f"{layer}.lora_{role}.{matrix.lower()}", piece


def _of_adapter(leaf: str, weight: Tensor) -> tuple[str, Tensor]:
    """Names a weight or bias; `adapters` multiplies by Kronecker sums from the other side than we do."""
    match leaf:
        case "W_left":
            return "t", weight.squeeze(2)
        case "W_right":
            return "s", weight.squeeze(1)
        case "b":
            return "bias", weight
    return leaf, weight


def _of_prefix(config: PreTrainedConfig, weight: Tensor) -> Iterator[tuple[str, Tensor]]:
    heads, layers = config.num_attention_heads, config.num_hidden_layers
    by_layer = weight.view(-1, layers, 2, heads, config.hidden_size // heads).permute(1, 2, 3, 0, 4)
    for layer in range(layers):
        for index, name in enumerate(("key", "value")):
            yield f"{ATTENTION[config.model_type].format(layer)}.prefix.{name}", by_layer[layer, index]
