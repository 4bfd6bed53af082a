"""(IA)^3 rescales keys, values and inner activations, and nothing else."""

import pytest
import torch

from tests.tiny import FFN, HIDDEN, LAYERS, part, shake, tiny, trained, tune

KEY_AND_VALUE = {
    "bert": ("encoder.layer.0.attention.self.key", "encoder.layer.0.attention.self.value"),
    "gpt2": ("h.0.attn.c_attn", "h.0.attn.c_attn"),
}
FFN_OUTPUT = {"bert": "encoder.layer.0.output.dense", "gpt2": "h.0.mlp.c_proj"}

on_both = pytest.mark.parametrize("architecture", ["bert", "gpt2"])


@on_both
def test_three_vectors_a_block_that_start_at_one(architecture: str) -> None:
    model = tiny(architecture)
    tune(model, "ia3")
    vectors = list(trained(model).values())
    assert sorted(len(vector) for vector in vectors) == sorted([HIDDEN, HIDDEN, FFN] * LAYERS)
    assert all(torch.equal(vector, torch.ones_like(vector)) for vector in vectors)


@on_both
def test_keys_and_values_are_rescaled_and_queries_are_not(architecture: str) -> None:
    plain, tuned = tiny(architecture), tiny(architecture)
    tune(tuned, "ia3")
    shake(tuned, scale=1.0)
    x = torch.randn(5, HIDDEN)
    for third, (host, name) in enumerate(zip(KEY_AND_VALUE[architecture], ("key", "value"), strict=True), start=1):
        before, after = plain.get_submodule(host)(x), tuned.get_submodule(host)(x)
        if architecture == "gpt2":
            torch.testing.assert_close(after[:, :HIDDEN], before[:, :HIDDEN])
            rows = slice(third * HIDDEN, (third + 1) * HIDDEN)
            before, after = before[:, rows], after[:, rows]
        torch.testing.assert_close(after, before * tuned.get_parameter(f"{host}.ia3_{name}.factors"))


@on_both
def test_inner_activations_are_rescaled(architecture: str) -> None:
    plain, tuned = tiny(architecture), tiny(architecture)
    tune(tuned, "ia3")
    shake(tuned, scale=1.0)
    host, x = FFN_OUTPUT[architecture], torch.randn(5, FFN)
    factors = tuned.get_parameter(f"{host}.ia3_ffn.factors")
    torch.testing.assert_close(tuned.get_submodule(host)(x), plain.get_submodule(host)(factors * x))


def test_only_the_chosen_layers_are_rescaled() -> None:
    model = tiny("bert")
    tune(model, {"ia3": part("ia3", layers="2-3")})
    assert {int(name.split(".")[2]) for name in trained(model)} == {1, 2}
