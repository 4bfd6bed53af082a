"""Hadamard adapters, RED, SSF and BEFT compute and learn what their papers' equations say, on every architecture."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lnbench.backbone.backbone import Backbone
from lnbench.methods.base import Method
from lnbench.methods.parts.linear_change import Change, fold_changes
from tests.tiny import ARCHITECTURES, EVERY_ARCHITECTURE, batch, hidden, part, shake, tiny, trained, tune

METHODS: dict[str, Method] = {
    "hadamard": part("hadamard", norm=False),
    "red": part("red"),
    "ssf": part("ssf"),
    "beft": part("beft"),
    "beft of queries": part("beft", bias="query"),
    "beft of keys": part("beft", bias="key"),
}
NORMS_IN_FP32 = {"cohere", "cohere2", "gemma", "gemma2", "gemma3", "helium"}
"""Architectures whose norms round to fp32, with what was folded into them."""
on_every_architecture = pytest.mark.parametrize("architecture", EVERY_ARCHITECTURE)
in_every_way = pytest.mark.parametrize("method", METHODS)


def edits(view: Backbone, method: str, layer: int) -> Iterator[tuple[nn.Module, str, Any, bool]]:
    """The host, name, outputs and side (input or not) of each change, said anew from the papers."""
    table, block = view.table, view.blocks[layer]
    if method == "hadamard":
        yield block.get_submodule(table.mha_output), "hadamard", slice(None), True
    if method == "red":
        yield block.get_submodule(table.ffn_output), "red", slice(None), False
    if method.startswith("beft") or method == "ssf":
        wanted = {"beft": ["value"], "beft of queries": ["query"], "beft of keys": ["key"]}
        for name in wanted.get(method, ["query", "key", "value"]):
            (one,) = view.linear_maps(name, layer)  # type: ignore[arg-type]
            yield one.layer, f"{method.split()[0]}_{name}", slice(None) if one.rows is None else one.rows, False
    if method == "ssf":
        yield block.get_submodule(table.mha_output), "ssf_mha_output", slice(None), False
        for path in table.ffn_inputs:
            yield block.get_submodule(path), "ssf_ffn_input", slice(None), False
        yield block.get_submodule(table.ffn_output), "ssf_ffn_output", slice(None), False
        for module in block.modules():
            if "Norm" in type(module).__name__ and list(module.parameters(recurse=False)):
                yield module, "ssf_norm", slice(None), False


def edited(name: str, values: dict[str, Tensor], rows: Any, y: Tensor) -> Tensor:
    """s * y + t at some of the features of y."""
    scale, shift = values.get(f"{name}.scale"), values.get(f"{name}.shift")
    piece = y[..., rows]
    if scale is not None:
        piece = piece * (scale if len(scale) == piece.shape[-1] else scale.view(piece.shape[-2:]))
    new = y.clone()
    new[..., rows] = piece if shift is None else piece + shift
    return new


def reference(architecture: str, method: str, values: dict[str, Tensor]) -> Tensor:
    """The hidden states of a plain model with the equations as hooks."""
    model = tiny(architecture).double()
    view, names = Backbone(model), {module: name for name, module in model.named_modules()}
    for layer in range(view.num_layers):
        for host, name, rows, is_input in edits(view, method, layer):
            change = partial(edited, f"{names[host]}.{name}", values, rows)
            if is_input:
                host.register_forward_pre_hook(lambda _, x, change=change: (change(x[0]), *x[1:]))
            else:
                host.register_forward_hook(lambda _, x, y, change=change: change(y))
    return hidden(model, batch())


def tuned(architecture: str, method: str) -> Any:
    model = tiny(architecture)
    tune(model, {METHODS[method].kind: METHODS[method]})
    shake(model.double(), scale=0.3)
    return model


@on_every_architecture
@in_every_way
def test_outputs_and_gradients_are_those_of_the_equations(architecture: str, method: str) -> None:
    model = tuned(architecture, method)
    values = {name: value.detach().clone().requires_grad_() for name, value in trained(model).items()}
    ours, theirs = hidden(model, batch()), reference(architecture, method, values)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)
    weights = torch.cos(torch.arange(ours.numel(), dtype=ours.dtype)).view_as(ours)
    own = torch.autograd.grad((ours * weights).sum(), list(trained(model).values()))
    expected = torch.autograd.grad((theirs * weights).sum(), list(values.values()))
    torch.testing.assert_close(own, expected, rtol=1e-8, atol=1e-9)


@on_every_architecture
@in_every_way
def test_folding_keeps_the_function(architecture: str, method: str) -> None:
    model = tuned(architecture, method)
    expected = hidden(model, batch())
    fold_changes(model)
    tolerance = 1e-5 if method == "ssf" and architecture in NORMS_IN_FP32 else 1e-9
    torch.testing.assert_close(hidden(model, batch()), expected, rtol=0, atol=tolerance)
    assert not any(".scale" in name or ".shift" in name for name, _ in model.named_parameters())


@pytest.mark.parametrize("architecture", ["bert", "gpt2", "gpt_neox", "llama", "gemma3", "qwen3"])
def test_in_a_sum_all_fold_and_a_network_stays(architecture: str) -> None:
    model = tiny(architecture)
    tune(model, "beft+hadamard+ia3+ln+lora+mha_adapter+prefix+red+ssf")
    shake(model.double(), scale=0.1)
    expected = hidden(model, batch())
    fold_changes(model)
    torch.testing.assert_close(hidden(model, batch()), expected, rtol=0, atol=1e-5)
    assert not any(isinstance(module, Change) for module in model.modules())
    assert any("mha_adapter" in name for name in trained(model))


@on_every_architecture
def test_ssf_changes_every_norm_and_linear_map_of_the_blocks_once(architecture: str) -> None:
    model = tiny(architecture)
    claims = tune(model, "ssf")["ssf"]
    hosts = {name.rpartition(".ssf_")[0] for name in claims}
    plain = tiny(architecture)
    in_blocks = {name for name, _ in plain.named_modules() if any(part.isdigit() for part in name.split("."))}
    owners = {name for name in in_blocks if getattr(plain.get_submodule(name), "weight", None) is not None}
    outside = {name for name in owners if name.rpartition(".")[2] in ("pos_proj", "pos_q_proj")}
    assert hosts == owners - outside


@pytest.mark.parametrize("architecture", ["bert", "gpt2", "llama", "gemma3", "cohere"])
def test_hadamard_trains_the_norm_after_attention_too(architecture: str) -> None:
    model = tiny(architecture)
    view = Backbone(model)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    norms = [norm for layer in range(view.num_layers) for norm in view.norms_after("mha", layer, "position")]
    claims = set(tune(model, "hadamard")["hadamard"])
    own = {names[id(parameter)] for norm in norms for parameter in norm.parameters()}
    assert {name for name in claims if ".hadamard." not in name} == own
    assert len(own) >= view.num_layers


@in_every_way
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_only_the_chosen_layers_are_changed(architecture: str, method: str) -> None:
    model = tiny(architecture)
    tune(model, {"one": METHODS[method].model_copy(update={"layers": "2-3"})})
    blocks = {int(next(piece for piece in name.split(".") if piece.isdigit())) for name in trained(model)}
    assert blocks == {1, 2}


@pytest.mark.parametrize("architecture", ["bert", "llama", "gemma3"])
@in_every_way
def test_in_bf16_the_changes_stay_fp32_and_learn(architecture: str, method: str) -> None:
    model = tiny(architecture).bfloat16()
    tune(model, {METHODS[method].kind: METHODS[method]})
    output = hidden(model, batch())
    assert output.dtype == torch.bfloat16
    output.float().pow(2).sum().backward()
    assert all(value.dtype == torch.float32 and value.grad is not None for value in trained(model).values())


def test_a_matrix_of_gains_gets_a_vector_which_does_not_decay() -> None:
    model = tiny("cohere")
    tune(model, "ssf")
    norm = "layers.0.self_attn.q_norm"
    assert model.get_parameter(f"{norm}.weight").ndim == 2
    assert {value.ndim for value in trained(model).values()} == {1}
