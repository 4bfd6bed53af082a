"""Frozen weights that are rounded once change nothing that autocast computes."""

import pytest
import torch
from torch import Tensor, nn

from lnbench.backbone.tuned_model import TunedModel
from lnbench.config.run import RunConfig
from lnbench.tasks.parts.heads import SentenceHead
from lnbench.training.frozen.weights import round_frozen_weights, store_frozen_weights
from tests.conftest import Configure
from tests.tiny import (
    EVERY_ARCHITECTURE,
    FIRST_ARCHITECTURES,
    LAYERS,
    batch,
    is_possible,
    part,
    shake,
    tiny,
    tiny_generator,
    tuned,
)

METHODS = ["ln", "bitfit", "lora", "ia3", "prefix", "ln+prefix+mha_adapter", "lora_xs+oft+svft+vera"]
CASES = [
    (one, method)
    for one in EVERY_ARCHITECTURE
    for method in (METHODS if one in FIRST_ARCHITECTURES else ["lora"])
    if is_possible(one, method) and not one.startswith("falcon")  # whose linear layers are a class of its own
]
BF16 = torch.bfloat16


def new_model(architecture: str, method: str) -> TunedModel:
    """A tiny model in training."""
    model = tuned(tiny(architecture), method, lambda size: SentenceHead(size, 3, "mean", 0.1))
    shake(model)
    return model


def step(model: TunedModel) -> list[Tensor]:
    """Logits of a batch, and gradients of all that is trained."""
    torch.manual_seed(0)
    with torch.autocast("cpu", BF16):
        logits = model(**batch())
    return [logits.detach(), *torch.autograd.grad(logits.float().square().sum(), list(model.trained().values()))]


def formats(model: nn.Module) -> dict[str, torch.dtype]:
    return {name: parameter.dtype for name, parameter in model.named_parameters()}


@pytest.mark.parametrize(("architecture", "method"), CASES)
def test_logits_and_gradients_are_the_same_to_the_last_bit(architecture: str, method: str) -> None:
    expected = step(new_model(architecture, method))
    model = new_model(architecture, method)
    store_frozen_weights(model, BF16)
    assert BF16 in formats(model).values()
    assert all(map(torch.equal, step(model), expected))


def test_a_weight_that_a_change_computes_with_stays() -> None:
    dora = {"lora": part("lora", dora=True)}
    models = [tuned(tiny("bert"), dora, lambda size: SentenceHead(size, 3, "mean", 0.1)) for _ in range(2)]
    for model in models:
        shake(model)
    store_frozen_weights(models[0], BF16)
    kept = {name for name, dtype in formats(models[0]).items() if dtype == torch.float32 and name.endswith("y.weight")}
    assert kept == {f"backbone.encoder.layer.{layer}.attention.self.query.weight" for layer in range(LAYERS)}
    assert all(map(torch.equal, step(models[0]), step(models[1])))


def test_only_frozen_linear_layers_change() -> None:
    model = new_model("bert", "bitfit")
    store_frozen_weights(model, BF16)
    changed = {name for name, dtype in formats(model).items() if dtype == BF16}
    linear = {id(own) for module in model.modules() if isinstance(module, nn.Linear) for own in module.parameters()}
    assert changed == {name for name, own in model.named_parameters() if id(own) in linear and not own.requires_grad}


def test_what_is_trained_stays() -> None:
    model = new_model("bert", "full")
    store_frozen_weights(model, BF16)
    assert set(formats(model).values()) == {torch.float32}


def test_what_an_embedding_shares_stays() -> None:
    model = tiny_generator("gpt2").requires_grad_(False)
    store_frozen_weights(model, BF16)
    assert model.get_output_embeddings().weight.dtype == torch.float32


@pytest.fixture
def linear() -> nn.Linear:
    return nn.Linear(2, 2).requires_grad_(False)


@pytest.fixture
def capable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A CPU that is fast at bf16."""
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")


@pytest.mark.usefixtures("capable")
@pytest.mark.parametrize(
    ("settings", "dtype"),
    [
        (("trainer.precision=bf16",), BF16),
        (("trainer.precision=fp32",), torch.float32),
        (("trainer.precision=bf16", "trainer.devices=2"), torch.float32),
    ],
)
def test_only_what_runs_in_bf16_on_one_device_is_rounded(
    configure: Configure, linear: nn.Linear, settings: tuple[str, ...], dtype: torch.dtype
) -> None:
    config: RunConfig = configure("trainer.device=cpu", *settings)
    round_frozen_weights(config, linear)
    assert linear.weight.dtype == dtype
