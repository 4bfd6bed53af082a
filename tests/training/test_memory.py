"""Runs that go on although memory runs out; it is made to by counting rows."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from lnbench.backbone.tuned_model import TunedModel
from lnbench.records.failure import RunFailed
from lnbench.records.files import CHECKPOINTS, RESUME
from lnbench.records.identity import run_dir
from lnbench.run.lifecycle import run
from lnbench.training.halved_evaluation import HalvingModule
from lnbench.training.memory import FILE
from tests import runs
from tests.conftest import Configure
from tests.training.interruption import interrupt
from tests.training.test_fit import without_dropout

HALVE = "trainer.on_oom=halve"


class Memory:
    """Makes memory run out whenever the model gets more rows than fit."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.rows = {True: 1000, False: 1000}
        """Which fit, by whether the model is in training."""
        self.seen: list[int] = []
        """How many rows were trained on at once."""
        self.shrinks: tuple[int, int] | None = None
        """After how many trained batches memory shrinks, and to how many rows."""
        self.forward = TunedModel.forward
        monkeypatch.setattr(TunedModel, "forward", lambda *args, **inputs: self._forward(*args, **inputs))

    def _forward(self, model: TunedModel, **inputs: Tensor) -> Tensor:
        count = len(inputs["input_ids"])
        if self.shrinks and self.shrinks[0] == len(self.seen):
            self.rows[True] = self.shrinks[1]
        if count > self.rows[model.training]:
            raise torch.OutOfMemoryError(f"{count} rows")
        if model.training:
            self.seen.append(count)
        return self.forward(model, **inputs)


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Memory:
    return Memory(monkeypatch)


@pytest.fixture
def steady(configure: Configure, sources: dict[str, Path], tmp_path: Path) -> Configure:
    """Configures runs without dropout, which micro-batches would draw anew."""
    source = without_dropout(sources["bert"], tmp_path / "model")
    return lambda *more: configure(f"model.source={source}", "+model.dropout=0", "trainer.lr=0.003", *more)


def assert_close(first: dict[str, Any], second: dict[str, Any]) -> None:
    """Compares the results of two runs up to rounding."""
    assert first["steps"] == second["steps"]
    assert first["metrics"] == {split: pytest.approx(metrics, abs=1e-6) for split, metrics in second["metrics"].items()}
    for one, other in zip(first["history"], second["history"], strict=True):
        assert {name: float(value or 0) for name, value in one.items()} == pytest.approx(
            {name: float(value or 0) for name, value in other.items()}, abs=1e-5
        )
    for name, (_, values) in first["adapter"].items():
        expected = np.frombuffer(second["adapter"][name][1], np.float32)
        np.testing.assert_allclose(np.frombuffer(values, np.float32), expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize(
    "more", [(), ("trainer.accumulate=2", "trainer.validate_every=3"), ("method=ln+fisher_ln",), ("method=adalora",)]
)
def test_smaller_pieces_give_the_same_run(
    steady: Configure, memory: Memory, tmp_path: Path, more: tuple[str, ...]
) -> None:
    whole = runs.results(steady(*more))
    memory.rows[True] = 3
    config = steady(*more, HALVE, f"runs_dir={tmp_path}/again")
    memory.seen.clear()
    assert_close(runs.results(config), whole)
    assert set(memory.seen) <= {1, 2}
    cost = run(config).cost
    assert (cost.micro_batch_size, cost.halvings) == (2, 2)
    assert not (run_dir(config) / CHECKPOINTS).exists()


def test_nothing_changes_while_memory_suffices(configure: Configure, tmp_path: Path) -> None:
    plain, halving = configure(), configure(HALVE, f"runs_dir={tmp_path}/again")
    assert plain.identity() == halving.identity()
    assert runs.results(halving) == runs.results(plain)
    for config in (plain, halving):
        assert (run(config).cost.micro_batch_size, run(config).cost.halvings) == (8, 0)


@pytest.mark.parametrize("method", [(), ("method=adalora", "method.adalora.final=0.2", "method.adalora.interval=1")])
def test_every_try_starts_from_the_same_values(
    configure: Configure, memory: Memory, method: tuple[str, ...], tmp_path: Path
) -> None:
    """Memory runs out in the middle of training; dropout makes any trace of it visible."""
    at_once = configure(HALVE, "trainer.checkpoint_minutes=1e-9", *method)
    memory.rows[True] = 4
    expected = runs.results(at_once)
    later = configure(HALVE, f"runs_dir={tmp_path}/again", *method)
    memory.rows[True], memory.shrinks = 1000, (11, 4)
    memory.seen.clear()
    assert runs.results(later) == expected
    assert memory.seen[:12] == [8] * 11 + [4]


@pytest.mark.parametrize("hook", ["on_train_batch_end", "on_test_start"])
def test_an_interrupted_run_goes_on_with_its_pieces(
    configure: Configure, memory: Memory, tmp_path: Path, hook: str
) -> None:
    memory.rows[True] = 2
    expected = runs.results(configure(HALVE, f"runs_dir={tmp_path}/whole"))
    config = configure(HALVE)
    interrupt(config, hook, {"on_train_batch_end": 5, "on_test_start": 1}[hook])
    assert (run_dir(config) / RESUME).is_file()
    memory.rows[True] = 1000
    memory.seen.clear()
    assert runs.results(config) == expected
    assert len(memory.seen) == (4 * (18 - 5) if hook == "on_train_batch_end" else 0)
    assert run(config).cost.halvings == 2


def test_the_file_is_no_more_than_a_hint(configure: Configure, memory: Memory) -> None:
    config = configure(HALVE)
    (run_dir(config) / FILE).parent.mkdir(parents=True)
    (run_dir(config) / FILE).write_text('{"rows": 0}')
    memory.rows[True] = 4
    assert run(config).cost.micro_batch_size == 4


def test_one_row_that_does_not_fit_is_a_failure(configure: Configure, memory: Memory) -> None:
    memory.rows[True] = 0
    with pytest.raises(RunFailed, match=r"out of memory.*1 rows") as failed:
        run(configure(HALVE))
    assert failed.value.cause == "out of memory"
    assert not (run_dir(configure()) / CHECKPOINTS).exists()
    memory.rows[True] = 1000
    assert run(configure(HALVE, "retry_failed=true")).cost.halvings == 0


def test_by_default_it_is_not_tried_again(configure: Configure, memory: Memory) -> None:
    memory.rows[True] = 4
    with pytest.raises(RunFailed, match="8 rows"):
        run(configure())
    assert run(configure(HALVE, "retry_failed=true")).cost.micro_batch_size == 4


def test_another_error_is_not_taken_for_it(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> Tensor:
        raise RuntimeError("shapes do not fit")

    monkeypatch.setattr(HalvingModule, "training_step", fail)
    with pytest.raises(RunFailed, match="shapes do not fit") as failed:
        run(configure(HALVE))
    assert failed.value.cause == "error"


def test_evaluation_halves_its_batches_and_training_goes_on(
    configure: Configure, memory: Memory, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    expected = runs.results(configure(f"runs_dir={tmp_path}/whole"))
    memory.rows[False] = 5
    memory.seen.clear()
    config = configure(HALVE)
    assert_close(runs.results(config), expected)
    assert memory.seen == [8] * 18
    assert run(config).cost.halvings == 0
    assert [record.args for record in caplog.records] == [(8,), (4,)]


def test_a_row_that_cannot_be_evaluated_is_a_failure_at_once(configure: Configure, memory: Memory) -> None:
    memory.rows[False] = 0
    with pytest.raises(RunFailed, match="one row does not fit in memory in evaluation") as failed:
        run(configure(HALVE))
    assert failed.value.cause == "out of memory"
    assert memory.seen == [8] * 4, "until the first validation, and only once"
