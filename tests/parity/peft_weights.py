"""From HF peft's weights to ours: one function a method, differentiable.

Each takes an architecture and peft's weights by their names without wrappers, such as
`encoder.layer.0.attention.self.query.lora_A.weight`, and returns weights by our names.
"""

from torch import Tensor, nn

from tests.parity.compare import Tensors
from tests.tiny import HEADS, HIDDEN, LAYERS, trained

ROLES = {
    "attention.self.query": "query",
    "attention.self.key": "key",
    "attention.self.value": "value",
    "attention.output.dense": "mha_output",
    "attn.c_proj": "mha_output",
    "intermediate.dense": "ffn_input",
    "mlp.c_fc": "ffn_input",
    "output.dense": "ffn_output",
    "mlp.c_proj": "ffn_output",
}
FUSED = ("query", "key", "value")
"""What GPT-2's `c_attn` computes, in its order."""
ATTENTION = {"bert": "encoder.layer.{}.attention.self", "gpt2": "h.{}.attn"}


def ln(_: str, weights: Tensors) -> Tensors:
    """Gains and biases, of which peft trains copies."""
    return {name.replace(".ln_tuning_layers", ""): weight for name, weight in weights.items()}


def lora(_: str, weights: Tensors) -> Tensors:
    """A and B; where peft shares one A between query, key and value, each of them has it."""
    ours: dict[str, Tensor] = {}
    for name, weight in weights.items():
        layer, _, matrix = name.removesuffix(".weight").rpartition(".lora_")
        if layer.endswith("c_attn"):
            pieces = dict(zip(FUSED, weight.chunk(3) if matrix == "B" else [weight] * 3, strict=True))
        else:
            pieces = {_role(layer): weight}
        ours |= {f"{layer}.lora_{role}.{matrix.lower()}": piece for role, piece in pieces.items()}
    return ours


def ia3(_: str, weights: Tensors) -> Tensors:
    """The factors of keys, values and inner activations."""
    ours = {}
    for name, weight in weights.items():
        layer = name.removesuffix(".ia3_l")
        if layer.endswith("c_attn"):
            ours[f"{layer}.ia3_key.factors"], ours[f"{layer}.ia3_value.factors"] = weight.flatten().chunk(2)
        else:
            role = _role(layer).removesuffix("_output")
            ours[f"{layer}.ia3_{role}.factors"] = weight.flatten()
    return ours


def neutralise_ia3_of_queries(model: nn.Module) -> None:
    """Sets to 1 the factors of the queries, which peft trains too where query, key and value share a layer."""
    for name, parameter in trained(model).items():
        if "c_attn" in name:
            parameter.detach()[:HIDDEN] = 1.0


def without_ia3_of_queries(tensors: Tensors) -> Tensors:
    """Drops the factors of the queries."""
    return {name: tensor[HIDDEN:] if "c_attn" in name else tensor for name, tensor in tensors.items()}


def prefix(architecture: str, weights: Tensors) -> Tensors:
    """Keys and values of every layer, which are one long vector for each position of the prefix."""
    (embedding,) = weights.values()
    by_layer = embedding.view(len(embedding), LAYERS, 2, HEADS, HIDDEN // HEADS).permute(1, 2, 3, 0, 4)
    return {
        f"{ATTENTION[architecture].format(layer)}.prefix.{name}": by_layer[layer, index]
        for layer in range(LAYERS)
        for index, name in enumerate(("key", "value"))
    }


def prefix_mlp(architecture: str, weights: Tensors) -> Tensors:
    """The MLP that yields a prefix, whose last layer peft keeps in one piece for all layers of the model."""
    theirs = {name.removeprefix("prompt_encoder."): tensor for name, tensor in weights.items()}
    ours = {
        "prefix_mlp.vectors": theirs["embedding.weight"],
        "prefix_mlp.linear.weight": theirs["transform.0.weight"],
        "prefix_mlp.linear.bias": theirs["transform.0.bias"],
    }
    for layer in range(LAYERS):
        for leaf in ("weight", "bias"):
            pieces = theirs[f"transform.2.{leaf}"].chunk(LAYERS)
            ours[f"{ATTENTION[architecture].format(layer)}.prefix.linear.{leaf}"] = pieces[layer]
    return ours


def prompt(_: str, weights: Tensors) -> Tensors:
    """The vectors of the prompt."""
    (embedding,) = weights.values()
    return {"prompt.vectors": embedding}


def _role(layer: str) -> str:
    return next(role for place, role in ROLES.items() if layer.endswith(place))
