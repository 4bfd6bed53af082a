"""Comparisons with the closed form: a model without LoRA and (IA)^3, their effect folded into its weights.

In a sum, LoRA comes first, then (IA)^3, then adapters; so the closed form is that of W -> l * (W + B A).
"""

import re
from functools import partial

import torch
from torch import Tensor, nn

from lnbench.methods.base import Method
from tests.parity.case import Case
from tests.parity.compare import Difference, Tensors, compare, observe, roughen
from tests.tiny import ARCHITECTURES, HIDDEN, batch, part, tiny, trained, tune

RANK, ALPHA = 2, 6
ROLES = ("query", "key", "value", "mha_output", "ffn_input", "ffn_output")
FUSED = {"query": slice(0, HIDDEN), "key": slice(HIDDEN, 2 * HIDDEN), "value": slice(2 * HIDDEN, None)}
"""Outputs of GPT-2's `c_attn`."""
SUMS: dict[str, dict[str, Method]] = {
    "lora": {"lora": part("lora", targets=["q", "k", "v", "o", "ffn"], rank=RANK, alpha=ALPHA)},
    "ia3": {"ia3": part("ia3")},
}
SUMS |= {
    "ia3+lora": SUMS["ia3"] | SUMS["lora"],
    "adapter+lora": SUMS["lora"] | {"adapter": part("adapter")},
    "adapter+ia3+lora": SUMS["lora"] | SUMS["ia3"] | {"adapter": part("adapter")},
}


def cases() -> list[Case]:
    """All comparisons, on every architecture."""
    return [
        Case(name, architecture, "closed form", partial(_run, name, architecture))
        for name in SUMS
        for architecture in ARCHITECTURES
    ]


def _run(name: str, architecture: str) -> Difference:
    tuned, plain = tiny(architecture), tiny(architecture)
    tune(tuned, SUMS[name])
    roughen(trained(tuned.double()))
    tune(plain, {part: method for part, method in SUMS[name].items() if part not in ("ia3", "lora")})
    plain.double()
    reference = observe(tuned, batch())
    changed = {layer for layer in map(_layer, reference.weights) if layer}
    layers = {layer: plain.get_submodule(layer).requires_grad_(True) for layer in changed}
    return compare(plain, batch(), reference, partial(_fold, layers))


def _layer(name: str) -> str:
    """The pretrained layer that a tensor of LoRA or (IA)^3 changes; empty for other tensors."""
    match = re.fullmatch(r"(.*)\.(lora|ia3)_\w+\.\w+", name)
    return match[1] if match else ""


def _fold(layers: dict[str, nn.Module], weights: Tensors) -> Tensors:
    """From weights of the tuned model to those of a model without LoRA and (IA)^3."""
    folded = {name: tensor for name, tensor in weights.items() if not _layer(name)}
    for name, layer in layers.items():
        changes = {key.removeprefix(f"{name}."): tensor for key, tensor in weights.items() if _layer(key) == name}
        transposed = name.endswith(("c_attn", "c_fc", "c_proj"))
        weight = layer.get_parameter("weight").detach()
        weight, bias = _changed(weight.T if transposed else weight, layer.get_parameter("bias").detach(), changes)
        folded |= {f"{name}.weight": weight.T if transposed else weight, f"{name}.bias": bias}
    return folded


def _changed(weight: Tensor, bias: Tensor, changes: Tensors) -> tuple[Tensor, Tensor]:
    """l * (W + B A) and l * b, with W of shape (outputs, inputs)."""
    rows = {role: FUSED[role] if len(weight) == 3 * HIDDEN else slice(None) for role in FUSED}
    for role in ROLES:
        if f"lora_{role}.b" in changes:
            update = torch.zeros_like(weight)
            update[rows.get(role, slice(None))] = ALPHA / RANK * changes[f"lora_{role}.b"] @ changes[f"lora_{role}.a"]
            weight = weight + update
    for role in FUSED:
        if f"ia3_{role}.factors" in changes:
            factors = torch.ones_like(bias)
            factors[rows[role]] = changes[f"ia3_{role}.factors"]
            weight, bias = factors[:, None] * weight, factors * bias
    return (weight * changes["ia3_ffn.factors"] if "ia3_ffn.factors" in changes else weight), bias
