"""The gradient of a step is that of one batch of all its rows, however the rows are worked off."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor

from lnbench.config.compose import compose_config, to_plain
from lnbench.config.run import RunConfig, validate
from lnbench.run.lifecycle import run
from lnbench.training import batching
from lnbench.training.assemble import build_model
from tests import runs
from tests.training.interruption import inject, interrupt
from tests.training.test_fit import without_dropout
from tests.training.test_memory import HALVE, Memory

ROWS, STEP = 21, 8
"""Of an epoch, and of a step: the last step of an epoch has five rows."""
TARGETS = [10, 10, 10, 9, 32, 32, 32, 32]
"""Words of the targets of the first step: pairs of rows count very differently."""
WORDS = ["a", "b", "c", "d", "e", "good", "bad", "film"]


def words(rng: np.random.Generator, count: int | np.integer[Any]) -> list[str]:
    return list(map(str, rng.choice(WORDS, size=int(count))))


def classified(rng: np.random.Generator, row: int) -> dict[str, Any]:
    return {"sentence": " ".join(words(rng, rng.integers(1, 12))), "label": row % 2}


def rated(rng: np.random.Generator, row: int) -> dict[str, Any]:
    return {
        "sentence1": " ".join(words(rng, rng.integers(1, 12))),
        "sentence2": " ".join(words(rng, 3)),
        "label": row % 6,
    }


def tagged(rng: np.random.Generator, row: int) -> dict[str, Any]:
    tokens = words(rng, 1 if row % 4 < 2 else rng.integers(12, 20))
    return {"tokens": tokens, "ner_tags": [("O", "B-Loc", "B-Peop")[rng.integers(3)] for _ in tokens]}


def asked(rng: np.random.Generator, row: int) -> dict[str, Any]:
    context = words(rng, rng.integers(2, 14))
    answers = {"text": [context[0]], "answer_start": [0]}
    return {"id": str(row), "question": " ".join(words(rng, 2)), "context": " ".join(context), "answers": answers}


def told(rng: np.random.Generator, row: int) -> dict[str, Any]:
    target = TARGETS[row % len(TARGETS)]
    return {"meaning_representation": f"a {row}", "human_reference": " ".join(words(rng, target - 1))}


FAMILIES: dict[str, tuple[str, Callable[[np.random.Generator, int], dict[str, Any]], tuple[str, ...]]] = {
    "sst2": ("bert", classified, ("task.max_length=32",)),
    "stsb": ("bert", rated, ("task.max_length=32",)),
    "conll2004": ("bert", tagged, ("task.max_length=32",)),
    "squad": ("bert", asked, ("task.max_length=32", "task.stride=8")),
    "e2e_nlg": (
        "gpt2",
        told,
        ("task.max_source_length=20", "task.max_target_length=40", "task.search.max_new_tokens=4"),
    ),
}
"""A task of each family by its name: the model, a row, and settings."""

Given = Callable[..., RunConfig]


@pytest.fixture(scope="module")
def given(sources: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Given:
    """Configures runs without dropout, each in a folder of its own, that hardly move from where they start."""
    root = tmp_path_factory.mktemp("data")
    for task, (_, row, _) in FAMILIES.items():
        for split, count in (("train", ROWS), ("validation", 6), ("test", 6)):
            rng = np.random.default_rng(len(split))
            (root / task).mkdir(exist_ok=True)
            lines = [json.dumps(row(rng, number)) for number in range(count)]
            (root / task / f"{split}.jsonl").write_text("\n".join(lines))
    calm = {name: without_dropout(source, tmp_path_factory.mktemp(name) / "model") for name, source in sources.items()}

    def configure(task: str, *more: str) -> RunConfig:
        architecture, _, settings = FAMILIES[task]
        paths = {"data_root": root, "cache_dir": root / "cache", "runs_dir": tmp_path_factory.mktemp("runs")}
        places = [f"{key}={path}" for key, path in {"model.source": calm[architecture], **paths}.items()]
        splits = ["++task.splits={validation: validation, test: test}"]
        model = ["model.name=tiny", "+model.dropout=0"]
        slow = ["trainer.lr=1e-9", "trainer.weight_decay=0", "trainer.grad_clip=null", "trainer.validate_every=null"]
        overrides = [f"task={task}", *places, *splits, *settings, *model, *runs.SHORT, *slow, "test=false", *more]
        return validate(to_plain(compose_config(*overrides)))

    return configure


@pytest.fixture(autouse=True)
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models compute in double precision; losses are single."""
    monkeypatch.setattr("lnbench.run.execute.build_model", lambda config: build_model(config).double())


@pytest.fixture(autouse=True)
def in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows come as they are in the file, whatever the size of a batch."""

    def sequential(lengths: np.ndarray[Any, Any], size: int, *_: int) -> list[np.ndarray[Any, Any]]:
        return [np.arange(start, min(start + size, len(lengths))) for start in range(0, len(lengths), size)]

    monkeypatch.setattr(batching, "shuffled_batches", sequential)


class Gradients(pl.Callback):
    """Notes the gradient and the loss of every step."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Tensor]] = []
        self.losses: list[float] = []

    def on_before_optimizer_step(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        named = pl_module.named_parameters()
        self.seen.append({name: one.grad.clone() for name, one in named if one.grad is not None})

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, *_: Any) -> None:
        self.losses.append(outputs["loss"].item())


def steps_of(config: RunConfig, stop_after: int | None = None) -> Gradients:
    """Does a run; one that is stopped after some calls of `on_train_batch_end` goes on afterwards."""
    watch = Gradients()
    with pytest.MonkeyPatch.context() as patch:
        inject(patch, watch)
        if stop_after is not None:
            interrupt(config, "on_train_batch_end", stop_after)
        run(config)
    return watch


def flat(gradients: dict[str, Tensor]) -> Tensor:
    return torch.cat([gradients[name].flatten() for name in sorted(gradients)])


def assert_equal(one: Gradients, other: Gradients, steps: int) -> None:
    """The same steps, each gradient to 1e-6 of its norm."""
    assert len(one.seen) == len(other.seen) == steps
    for step, (left, right) in enumerate(zip(one.seen, other.seen, strict=True)):
        expected = flat(right)
        assert (flat(left) - expected).norm() <= 1e-6 * expected.norm(), f"step {step}"
    assert one.losses == pytest.approx(other.losses, rel=1e-6)


ONE = f"trainer.batch_size={STEP}"
PIECES = {size: (f"trainer.batch_size={size}", f"trainer.accumulate={STEP // size}") for size in (1, 2, 4)}
UNEVEN = ["conll2004", "e2e_nlg"]
"""Tasks whose rows have unequally many labels."""


@pytest.mark.parametrize("task", FAMILIES)
def test_accumulated_batches_are_one_batch(given: Given, task: str) -> None:
    expected = steps_of(given(task, ONE))
    for pieces in PIECES.values():
        assert_equal(steps_of(given(task, *pieces)), expected, steps=6)


@pytest.mark.parametrize("task", UNEVEN)
@pytest.mark.parametrize(
    ("settings", "steps"),
    [(["trainer.validate_every=1"], 6), (["trainer.max_steps=4"], 4), (["method=ln+lora"], 6), (["method=adalora"], 6)],
)
def test_nothing_that_comes_between_cuts_a_step(given: Given, task: str, settings: list[str], steps: int) -> None:
    assert_equal(steps_of(given(task, *settings, *PIECES[2])), steps_of(given(task, *settings, ONE)), steps)


@pytest.mark.parametrize("task", UNEVEN)
@pytest.mark.parametrize("stop_after", [1, 3, 5])
def test_a_run_that_goes_on_does_the_same_steps(given: Given, task: str, stop_after: int) -> None:
    assert_equal(steps_of(given(task, *PIECES[2]), stop_after), steps_of(given(task, ONE)), steps=6)


@pytest.mark.parametrize("task", UNEVEN)
def test_where_memory_runs_out_halves_are_one_batch_too(
    given: Given, task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = steps_of(given(task, ONE))
    memory = Memory(monkeypatch)
    memory.rows[True] = 1
    halved = steps_of(given(task, *PIECES[2], HALVE))
    assert memory.seen == [1] * 2 * ROWS
    assert_equal(halved, expected, steps=6)
