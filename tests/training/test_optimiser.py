from itertools import pairwise
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from lnbench.backbone.tuned_model import TunedModel
from lnbench.config.trainer import TrainerConfig
from lnbench.run.lifecycle import run
from lnbench.training.assemble import build_model
from lnbench.training.optimiser import linear_schedule, new_optimiser
from tests import tiny
from tests.conftest import Configure
from tests.training.interruption import inject


def settings(configure: Configure, *overrides: str) -> tuple[TunedModel, dict[str, tuple[float, float]]]:
    """A model, and learning rate and weight decay of each trained parameter."""
    config = configure(*overrides)
    model = build_model(config)
    optimiser = new_optimiser(model, config.trainer, config.method)
    groups = {id(parameter): group for group in optimiser.param_groups for parameter in group["params"]}
    assert len(groups) == sum(len(group["params"]) for group in optimiser.param_groups) == len(model.trained())
    found = {name: groups[id(parameter)] for name, parameter in model.trained().items()}
    return model, {name: (group["lr"], group["weight_decay"]) for name, group in found.items()}


def test_every_part_and_the_head_have_rates_of_their_own(configure: Configure) -> None:
    rates = ["method.ln.lr=0.2", "method.mha_adapter.lr=0.3", "trainer.head_lr=0.4", "trainer.lr=null"]
    model, found = settings(configure, "method=ln+mha_adapter", *rates)
    for part, rate in (("ln", 0.2), ("mha_adapter", 0.3)):
        assert {found[name][0] for name in model.claims[part]} == {rate}
    assert {lr for name, (lr, _) in found.items() if name.startswith("head.")} == {0.4}


@pytest.mark.parametrize(("rate", "found"), [("trainer.lr_factor=0.5", 0.1), ("trainer.lr=0.05", 0.05)])
def test_the_head_alone_learns_at_the_rate_of_its_method(configure: Configure, rate: str, found: float) -> None:
    _, rates = settings(configure, "method=head", "trainer.lr=null", "method.head.lr=0.2", "trainer.head_lr=0.4", rate)
    assert {lr for lr, _ in rates.values()} == {found}


def test_one_rate_overrides_all(configure: Configure) -> None:
    _, found = settings(configure, "method=ln+mha_adapter", "trainer.lr=0.05", "trainer.head_lr=0.4")
    assert {lr for lr, _ in found.values()} == {0.05}


def test_the_factor_multiplies_the_rates_of_the_parts(configure: Configure) -> None:
    rates = ["method.ln.lr=0.2", "method.mha_adapter.lr=0.3", "trainer.head_lr=0.4", "trainer.lr=null"]
    _, found = settings(configure, "method=ln+mha_adapter", *rates, "trainer.lr_factor=0.5")
    assert {lr for lr, _ in found.values()} == {0.1, 0.15, 0.4}


def test_a_parameter_of_two_parts_learns_at_the_rate_of_the_first(configure: Configure) -> None:
    rates = ["method.bitfit.lr=0.2", "method.ln.lr=0.3", "trainer.lr=null"]
    for method in ("bitfit+ln", "ln+bitfit"):
        model, found = settings(configure, f"method={method}", *rates)
        both = set(model.claims["bitfit"]) & set(model.claims["ln"])
        assert len(both) == 6
        assert {found[name][0] for name in both} == {0.2}
        assert {found[name][0] for name in set(model.claims["ln"]) - both} == {0.3}


@pytest.mark.parametrize(("rate", "of_a"), [("trainer.lr=null", 0.2), ("trainer.lr=0.05", 0.05)])
def test_lora_plus_multiplies_the_rate_of_b_alone(configure: Configure, rate: str, of_a: float) -> None:
    lora = ["method.lora.lr=0.2", "method.lora.lr_ratio=4", "method.lora.dora=true"]
    model, found = settings(configure, "method=ln+lora", "method.ln.lr=0.2", *lora, rate)
    for part, name in ((part, name) for part, names in model.claims.items() for name in names):
        assert found[name][0] == pytest.approx(of_a * (4 if part == "lora" and name.endswith(".b") else 1))


@pytest.mark.parametrize(("architecture", "norms"), [("cohere", ["inner"]), ("gemma3", ["mha", "ffn", "inner"])])
def test_no_norm_decays_whatever_its_shape(architecture: str, norms: list[str]) -> None:
    backbone = tiny.tiny(architecture)
    parts = {"ln": tiny.part("ln", norms=norms, lr=0.1)}
    claims = tiny.tune(backbone, parts)
    model = TunedModel(backbone, nn.Identity(), claims, backbone.num_parameters())
    trainer = TrainerConfig(batch_size=1, eval_batch_size=1, max_epochs=1, weight_decay=0.1)
    optimiser = new_optimiser(model, trainer, parts)
    assert {group["weight_decay"] for group in optimiser.param_groups} == {0.0}
    assert any(parameter.ndim > 1 for parameter in model.trained().values()) == (architecture == "cohere")


@pytest.mark.parametrize("method", ["full", "ln+prefix+mha_adapter"])
def test_only_matrices_decay(configure: Configure, method: str) -> None:
    model, found = settings(configure, f"method={method}", "trainer.weight_decay=0.1")
    decays = {name for name, (_, decay) in found.items() if decay}
    assert decays == {name for name, parameter in model.trained().items() if parameter.ndim > 1}
    assert "head.classifier.weight" in decays
    assert {decay for _, decay in found.values()} == {0.0, 0.1}


@pytest.mark.parametrize(("warmup", "steps"), [(0, 1), (0, 10), (3, 10), (1, 2), (10, 10), (30, 500)])
def test_the_rate_rises_and_falls_linearly(warmup: int, steps: int) -> None:
    optimiser = torch.optim.AdamW([nn.Parameter(torch.zeros(1))], lr=2.0)
    schedule = linear_schedule(optimiser, warmup, steps)
    factors: list[float] = []
    for _ in range(steps):
        factors.append(float(schedule.get_last_lr()[0]) / 2)
        optimiser.step()
        schedule.step()
    assert schedule.get_last_lr() == [0.0]
    assert all(0 < factor <= 1 for factor in factors)
    rising, falling = factors[: warmup + 1], [*factors[warmup:], 0.0]
    for part in (rising, falling):
        slopes = {round(after - before, 9) for before, after in pairwise(part)}
        assert len(slopes) <= 1
    if warmup < steps:
        assert factors[warmup] == 1


class Rates(pl.Callback):
    """Notes the learning rate of each step."""

    def __init__(self) -> None:
        self.seen: list[float] = []

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        self.seen.append(trainer.optimizers[0].param_groups[0]["lr"])


def test_the_schedule_of_a_run_ends_with_the_run(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    rates = Rates()
    inject(monkeypatch, rates)
    run(configure("trainer.warmup=0.25", "trainer.lr=0.01"))
    assert len(rates.seen) == 18
    assert rates.seen.index(max(rates.seen)) == round(0.25 * 18)
    assert max(rates.seen) == 0.01
    assert rates.seen[-1] == pytest.approx(0.01 / 14)
