"""The passes of several runs as one, against each of them alone."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lnbench.backbone.backbone import role_table
from lnbench.backbone.tuned_model import TunedModel, inputs_of
from lnbench.methods.base import Method
from lnbench.tasks.parts.heads import Head, SentenceHead, TokenHead
from lnbench.tasks.question_answering import ExtractiveQA
from lnbench.tasks.regression import Regression
from lnbench.tasks.sequence_classification import SequenceClassification
from lnbench.tasks.token_classification import TokenClassification
from lnbench.tasks.tokens.examples import IGNORED
from lnbench.training.frozen.weights import store_frozen_weights
from lnbench.training.fused.step import Learned, Own, Step, can_be_stacked, learn
from tests.tiny import (
    ARCHITECTURES,
    CONFIGS,
    EVERY_ARCHITECTURE,
    HIDDEN,
    NAMES,
    batch,
    is_possible,
    part,
    parts,
    shake,
    tiny,
    tuned,
)

LENGTHS = [(7, 4, 5), (3, 9, 2), (5, 5, 5)]
"""Of the rows of each run's batch; the last batch needs no mask alone."""
LABELS = 3


def sentence_head(size: int) -> nn.Module:
    return SentenceHead(size, LABELS, "mean", 0.1)


def some_task(loss: Callable[..., Tensor] = SequenceClassification.loss, backbone: str = "headless") -> Any:
    """The parts of a task that a step needs."""
    return type("SomeTask", (), {"loss": loss, "backbone": backbone})()


def new_model(architecture: str, method: dict[str, Method], head: Callable[[int], nn.Module], seed: int) -> TunedModel:
    """A tiny model in training, with all the dropout that its architecture has."""
    model = tuned(tiny(architecture), method, head, seed)
    shake(model)
    return model


def new_steps(
    architecture: str, method: dict[str, Method], head: Callable[[int], nn.Module] = sentence_head
) -> list[Step]:
    """A step of each of three runs."""
    return [
        Step(
            model=model,
            own=Own.of(model),
            task=some_task(),
            batch={**batch(lengths, seed=run), "labels": torch.tensor([run, 1, 2])},
            pad_id=0,
            generator=torch.Generator().manual_seed(run),
        )
        for run, lengths in enumerate(LENGTHS)
        for model in [new_model(architecture, method, head, run)]
    ]


def alone(step: Step) -> Learned:
    """What a run gets that is no part of a stack, whose random numbers are torch's own."""
    torch.set_rng_state(step.generator.get_state())
    with step.precision():
        loss = step.task.loss(step.model(**inputs_of(step.batch)), step.batch)
    return Learned(loss.detach(), torch.autograd.grad(loss, list(step.model.trained().values())))


def assert_equal(one: Learned, other: Learned, tolerance: float) -> None:
    """Losses relative to their size, gradients to their norm."""
    torch.testing.assert_close(one.loss, other.loss, rtol=tolerance, atol=0)
    for left, right in zip(one.gradients, other.gradients, strict=True):
        assert (left - right).norm() <= tolerance * max(right.norm().item(), 1e-2)


def check(steps: list[Step], tolerance: float = 1e-5) -> None:
    """Compares all runs."""
    expected = [alone(step) for step in steps]
    for one, other in zip(learn(steps), expected, strict=True):
        assert_equal(one, other, tolerance)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("method", [name for name in NAMES if name != "full"])
def test_every_method(architecture: str, method: str) -> None:
    check(new_steps(architecture, parts(method)))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(
    "method",
    [
        {"lora": part("lora", dropout=0.2, targets=["q", "v", "ffn"])},
        {"lora_all": part("lora_all", dora=True, pissa=True)},
        {"oft": part("oft", block_size=4, butterfly=3, targets=["q", "v", "ffn"])},
        {"prefix": part("prefix", mlp_size=8)},
        {"adapter": part("adapter", reads="block")},
        {name: part(name) for name in ("adapter", "lora", "prefix", "unipelt")},
        {"fisher_ln": part("fisher_ln"), "prompt": part("prompt"), "prefix": part("prefix"), "lora": part("lora")},
        {name: part(name) for name in ("beft", "hadamard", "red", "ssf")},
    ],
)
def test_settings_and_sums(architecture: str, method: dict[str, Method]) -> None:
    check(new_steps(architecture, method))


@pytest.mark.parametrize("pissa", [False, True])
def test_each_run_has_its_own_scale(pissa: bool) -> None:
    steps = [
        new_steps("bert", {"lora": part("lora", alpha=alpha, rslora=True, pissa=pissa)})[run]
        for run, alpha in enumerate((1, 7, 16))
    ]
    check(steps)


def test_each_run_reads_states_in_its_own_way() -> None:
    steps = new_steps("bert", parts("ln"))
    for run, step in enumerate(steps):
        assert isinstance(step.model.head, Head)
        step.model.head.standardise(torch.full((HIDDEN,), float(run)), torch.full((HIDDEN,), 1.0 + run))
    check(steps)


@pytest.mark.parametrize("architecture", EVERY_ARCHITECTURE)
def test_an_architecture_is_exact_or_declared_not_to_be_stacked(architecture: str) -> None:
    steps = new_steps(architecture, parts("ln+lora" if is_possible(architecture, "ln") else "lora"))
    if can_be_stacked(steps[0].model, some_task()):
        check(steps)
    else:
        table = role_table(CONFIGS[architecture])
        assert table.attention is None or table.functional_dropout


def test_language_models_are_not_stacked() -> None:
    model = new_steps("gpt2", parts("ln"))[0].model
    assert not can_be_stacked(model, some_task(backbone="causal_lm"))


def test_without_any_dropout() -> None:
    steps = new_steps("bert", parts("ln+prefix"))
    for step in steps:
        step.model.eval()
    check(steps)


@pytest.mark.parametrize(
    ("loss", "labels", "outputs"),
    [(Regression.loss, torch.rand(3), 1), (ExtractiveQA.loss, torch.tensor([[0, 1], [1, 0], [1, 1]]), 2)],
)
def test_losses_of_other_tasks(loss: Callable[..., Tensor], labels: Tensor, outputs: int) -> None:
    def head(size: int) -> nn.Module:
        return TokenHead(size, 2, 0.1) if labels.ndim == 2 else SentenceHead(size, outputs, "first", 0.1)

    steps = new_steps("bert", parts("ln"), head)
    check([replace(step, task=some_task(loss), batch={**step.batch, "labels": labels}) for step in steps])


def test_labels_of_tokens_are_padded() -> None:
    steps = new_steps("bert", parts("ln"), lambda size: TokenHead(size, LABELS, 0.1))
    for step in steps:
        step.batch["labels"] = torch.where(step.batch["attention_mask"] == 1, step.batch["input_ids"] % LABELS, IGNORED)  # type: ignore[index]
    check([replace(step, task=some_task(TokenClassification.loss)) for step in steps])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_reduced_precision(architecture: str) -> None:
    steps = new_steps(architecture, parts("ln+lora"))
    for step in steps:
        store_frozen_weights(step.model, torch.bfloat16)
    check([replace(step, precision=lambda: torch.autocast("cpu", torch.bfloat16)) for step in steps], tolerance=0.04)


def test_a_run_that_breaks_down_leaves_the_others_alone() -> None:
    steps = new_steps("bert", parts("ln"))
    expected = [alone(step) for step in steps]
    next(iter(steps[1].model.trained().values())).data.fill_(torch.nan)
    first, broken, last = learn(steps)
    assert broken.loss.isnan()
    assert_equal(first, expected[0], 1e-5)
    assert_equal(last, expected[2], 1e-5)


def test_the_models_are_left_as_they_were() -> None:
    steps = new_steps("gpt2", parts("ln"))
    before = {name: tensor.clone() for name, tensor in steps[0].model.state_dict().items()}
    learn(steps)
    assert all(torch.equal(tensor, before[name]) for name, tensor in steps[0].model.state_dict().items())
    assert all(parameter.grad is None for parameter in steps[0].model.parameters())
