"""UniPELT's gates scale what its paper scales, by a mean over the tokens of each text."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

import lnbench
from lnbench.backbone.backbone import Backbone
from lnbench.core.schema import ConfigError
from lnbench.methods.base import folding
from lnbench.methods.parts.gates import Gate
from lnbench.methods.parts.linear_change import fold_changes
from lnbench.methods.parts.prefix_vectors import fold_prefixes
from lnbench.records.identity import run_dir
from lnbench.run.lifecycle import run
from tests.conftest import Configure
from tests.tiny import FFN, HIDDEN, LAYERS, batch, hidden, part, shake, tiny, tiny_generator, trained, tune

RANK, LENGTH = 3, 4
PARTS = {
    "adapter": part("adapter", bottleneck=5),
    "lora": part("lora", targets=["q", "v", "ffn"], rank=RANK, alpha=6),
    "prefix": part("prefix", length=LENGTH, init_std=1.0),
    "unipelt": part("unipelt"),
}
ARCHITECTURES = ["albert", "bert", "gpt2", "gpt_neox", "llama", "modernbert", "opt"]
everywhere = pytest.mark.parametrize("architecture", ARCHITECTURES)
INPUTS = {
    "padded on the right": batch((7, 2, 4)),
    "padded on the left": {name: tensor.flip(-1) for name, tensor in batch((7, 2, 4)).items()},
}


def gated(architecture: str, parts: dict[str, Any] = PARTS) -> PreTrainedModel:
    """In double precision, with weights of the size that trained ones have."""
    model = tiny(architecture)
    tune(model, parts)
    shake(model, scale=0.3)
    return model.double()


class ByHand:
    """The same model without gates. What its parts yield is multiplied row by row by openings that are given."""

    def __init__(self, architecture: str, model: PreTrainedModel, mask: Tensor) -> None:
        self.mask = mask
        self.model = tiny(architecture)
        tune(self.model, {name: one for name, one in PARTS.items() if name != "unipelt"})
        self.model.double()
        weights = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
        self.model.load_state_dict({name: weights[name] for name in self.model.state_dict()})
        gates = {name: module for name, module in model.named_modules() if isinstance(module, Gate)}
        self.gates = {
            name: [tensor.detach().clone().requires_grad_() for tensor in gate.parameters()]
            for name, gate in gates.items()
        }
        self._attended: Tensor | None = None
        for name in gates:
            host, _, own = name.rpartition(".unipelt_")
            module = self.model.get_submodule(f"{host}.{own}")
            if own == "prefix":
                self._gate_prefix(name, module)
            else:
                module.register_forward_hook(self._scaled(name))
        view = Backbone(self.model)
        for layer in range(view.num_layers):
            view.linear_maps("value", layer)[0].layer.register_forward_pre_hook(self._attend)

    def openness(self, name: str, x: Tensor) -> list[Tensor]:
        """Of each row, from the tokens that are no padding."""
        weight, bias = self.gates[name]
        rows = x.view(len(self.mask), -1, x.shape[-1])
        return [
            torch.stack([torch.sigmoid(weight[0] @ token + bias[0]) for token in row[real.bool()]]).mean()
            for row, real in zip(rows, self.mask, strict=True)
        ]

    def _scaled(self, name: str) -> Callable[..., Tensor]:
        def scale(_: nn.Module, inputs: Any, output: Tensor) -> Tensor:
            rows = output.view(len(self.mask), -1, output.shape[-1])
            scaled = [g * row for g, row in zip(self.openness(name, inputs[0]), rows, strict=True)]
            return torch.stack(scaled).view_as(output)

        return scale

    def _attend(self, _: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self._attended = inputs[0]

    def _gate_prefix(self, name: str, prefix: nn.Module) -> None:
        def scale(_: nn.Module, inputs: Any, output: tuple[Tensor, Tensor]) -> tuple[Tensor, ...]:
            assert self._attended is not None
            openness = self.openness(name, self._attended)
            return tuple(torch.stack([g * tensor for g in openness]) for tensor in output)

        prefix.register_forward_hook(scale)


@everywhere
@pytest.mark.parametrize("padding", INPUTS)
def test_outputs_and_gradients_are_those_of_the_paper(architecture: str, padding: str) -> None:
    model, inputs = gated(architecture), INPUTS[padding]
    expected = ByHand(architecture, model, inputs["attention_mask"])
    one, other = hidden(model, inputs), hidden(expected.model, inputs)
    torch.testing.assert_close(one, other, rtol=0, atol=1e-9)
    for states in (one, other):
        (states * torch.cos(torch.arange(states.numel(), dtype=states.dtype)).view_as(states)).sum().backward()
    theirs = {name: parameter.grad for name, parameter in trained(expected.model).items()}
    for name, (weight, bias) in expected.gates.items():
        theirs |= {f"{name}.linear.weight": weight.grad, f"{name}.linear.bias": bias.grad}
    ours = {name: parameter.grad for name, parameter in trained(model).items()}
    assert set(ours) == set(theirs)
    for name, gradient in theirs.items():
        assert gradient is not None
        assert gradient.abs().sum() > 0, name
        torch.testing.assert_close(ours[name], gradient, rtol=0, atol=1e-9)


def test_trained_parameters_in_closed_form() -> None:
    gates = sum(p.numel() for name, p in trained(gated("bert")).items() if "unipelt" in name)
    attention, adapter, ffn = 3 * (HIDDEN + 1), HIDDEN + 1, HIDDEN + 1 + FFN + 1
    assert gates == LAYERS * (attention + adapter + ffn)


@pytest.mark.parametrize("name", ["mha_adapter", "houlsby", "parallel_adapter", "mha_parallel_adapter", "lora_all"])
def test_a_closed_gate_takes_away_what_a_part_adds(name: str) -> None:
    model, plain = gated("bert", {name: part(name), "unipelt": part("unipelt")}), tiny("bert").double()
    assert (hidden(model, batch()) - hidden(plain, batch())).abs().max() > 0.1
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, Gate):
                module.linear.weight.zero_()
                module.linear.bias.fill_(-60.0)
    torch.testing.assert_close(hidden(model, batch()), hidden(plain, batch()), rtol=0, atol=1e-9)


def test_every_gate_starts_half_open() -> None:
    model = tiny("bert")
    tune(model, PARTS)
    seen: list[Tensor] = []
    for module in model.modules():
        if isinstance(module, Gate):
            module.register_forward_hook(lambda _, inputs, output: seen.append(output))
    hidden(model, batch((7, 4)))
    assert len(seen) == 6 * LAYERS
    assert all(torch.equal(openness, torch.full((2,), 0.5)) for openness in seen)


def test_what_a_gate_scales_is_not_folded() -> None:
    model = gated("gpt2", PARTS | {"prefix": part("prefix", length=LENGTH, mlp_size=6)})
    expected, names = hidden(model, batch()), set(trained(model))
    fold_changes(model)
    fold_prefixes(model)
    torch.testing.assert_close(hidden(model, batch()), expected, rtol=0, atol=1e-9)
    assert {name for name in names if "lora" in name or "unipelt" in name} <= set(model.state_dict())
    assert folding(PARTS) == []
    assert folding({name: PARTS[name] for name in ("adapter", "lora")}) == ["lora"]


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("unipelt", r"method = unipelt: unipelt needs other parts; it gates lora, lora_all, prefix, adapter"),
        ("ln+lora+unipelt", r"method = ln\+lora\+unipelt: ln adds nothing that a gate can scale; it gates lora"),
        ("adalora+oft+unipelt", r"adalora, oft adds? nothing"),
    ],
)
def test_a_sum_with_nothing_to_gate_is_refused_by_name(configure: Configure, method: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        configure(f"method={method}")


def test_a_language_model_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"method: unipelt has no place in a language model"):
        tune(tiny_generator(), PARTS)


def test_a_run_is_loaded_as_it_was(configure: Configure) -> None:
    config = configure("method=unipelt+lora+prefix+adapter")
    run(config)
    loaded, folded = (lnbench.load(run_dir(config), merged=merged) for merged in (False, True))
    texts = ["a good film", "a bad a b c"]
    assert loaded.predict(texts) == folded.predict(texts)


@pytest.mark.parametrize("prompt", [[], ["prompt"]], ids=["alone", "with a prompt"])
def test_a_text_does_not_depend_on_its_batch_where_a_map_also_reads_distances(prompt: list[str]) -> None:
    """DeBERTa-v3 applies the map of queries to vectors of 16 distances; three rows do not divide 16."""
    model = gated("deberta_v2", {name: part(name) for name in ("lora", "unipelt", *prompt)})
    inputs = batch((7, 2, 4))
    together = model(**inputs).last_hidden_state
    for row, length in enumerate((7, 2, 4)):
        alone = model(**{name: tensor[row : row + 1, :length] for name, tensor in inputs.items()}).last_hidden_state
        torch.testing.assert_close(together[row : row + 1, :length], alone, rtol=0, atol=1e-9)
