import time

import pytest

from lnbench.run import run
from lnbench.training.callbacks.stopwatch import Stopwatch
from tests.conftest import Configure
from tests.training.interruption import AtCall, inject


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which stands still until a test moves it."""
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    return now


def test_it_runs_between_start_and_stop(clock: list[float]) -> None:
    watch = Stopwatch()
    watch.start()
    clock[0] = 2
    watch.stop()
    clock[0] = 5
    watch.stop()
    watch.start()
    clock[0] = 6
    watch.stop()
    assert watch.seconds == 3


def test_its_state_counts_what_is_running(clock: list[float]) -> None:
    watch, resumed = Stopwatch(), Stopwatch()
    watch.start()
    watch.samples = 7
    clock[0] = 2
    resumed.load_state_dict(watch.state_dict())
    assert (resumed.seconds, resumed.samples, resumed.tokens) == (2, 7, 0)
    resumed.start()
    clock[0] = 3
    resumed.stop()
    assert resumed.seconds == 3


def test_evaluation_and_checkpoints_do_not_count(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    hooks = ["on_validation_batch_start", "on_validation_epoch_end", "on_test_batch_start", "on_train_start"]
    inject(monkeypatch, *(AtCall(hook, 1, lambda: time.sleep(0.5)) for hook in hooks))
    cost = run(configure()).cost
    assert cost.train_seconds < 1.5 < 2 <= cost.total_seconds


def test_samples_and_tokens_are_those_trained_on(configure: Configure) -> None:
    cost = run(configure("trainer.max_epochs=3")).cost
    assert cost.train_samples_per_second * cost.train_seconds == pytest.approx(3 * 72)
    assert cost.train_tokens_per_second > 5 * cost.train_samples_per_second
