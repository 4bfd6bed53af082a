import time
from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
import pytorch_lightning as pl
import torch

from lnbench.config.run import RunConfig
from lnbench.run import execute
from lnbench.run.lifecycle import run
from lnbench.training.batching import Piece
from lnbench.training.callbacks import history, stopwatch
from lnbench.training.callbacks.stopwatch import WARM_UP, Stopwatch
from lnbench.training.checkpoint import SafetensorsCheckpointIO
from lnbench.training.energy import EnergyMeter
from tests.conftest import Configure
from tests.training.interruption import inject, interrupt

ROWS, BATCHES, VALIDATIONS = 8, 18, 5
"""Rows of a step, and steps and validations of a whole run, which has two epochs."""
SLOW, STEADY = 5, 1
"""Seconds of a training batch in the warm-up of a process, and after it."""
WATTS = 3


class Clock:
    """The time, which stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 0.0

    def move(self, seconds: float) -> None:
        self.now += seconds

    def slow(self, function: Callable[..., None], seconds: float) -> Callable[..., None]:
        """A function that also takes some time."""

        def call(*arguments: Any, **options: Any) -> None:
            self.move(seconds)
            function(*arguments, **options)

        return call


class Slow(pl.Callback):
    """Lets what a run does take its time, and counts validation batches and the tokens of steady training."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.steady_tokens = 0
        self.validations = 0

    def on_fit_start(self, *_: Any) -> None:
        self.clock.move(40)
        self.batches = 0

    def on_before_backward(self, trainer: pl.Trainer, *_: Any) -> None:
        self.batches += 1
        self.steady = self.batches > WARM_UP
        self.clock.move(STEADY if self.steady else SLOW)

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.steady_tokens += sum(int(rows["attention_mask"].sum()) for rows, _ in batch) if self.steady else 0

    def on_validation_batch_start(self, *_: Any) -> None:
        self.validations += 1
        self.clock.move(10)

    def on_test_batch_start(self, *_: Any) -> None:
        self.clock.move(20)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Moved by saving, 100 seconds for a checkpoint and one for the losses, while 3 W are used."""
    clock = Clock()
    monkeypatch.setattr(time, "perf_counter", lambda: clock.now)
    monkeypatch.setattr(EnergyMeter, "joules", lambda self: WATTS * clock.now)
    for place, name, seconds in (
        (SafetensorsCheckpointIO, "save_checkpoint", 100),
        (history, "write_atomically", 1),
    ):
        monkeypatch.setattr(place, name, clock.slow(getattr(place, name), seconds))
    return clock


@pytest.fixture
def slow(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Slow:
    """Acts in all runs."""
    slow = Slow(clock)
    inject(monkeypatch, slow)
    return slow


def seconds_of(batches: int) -> int:
    """Of the training batches of one process."""
    warm_up = min(batches, WARM_UP)
    return SLOW * warm_up + STEADY * (batches - warm_up)


def test_one_part_runs_at_a_time(clock: Clock) -> None:
    watch = Stopwatch(gpus=0)
    with watch.timing(watch.test):
        clock.move(2)
        with watch.timing(watch.checkpoints):
            clock.move(10)
        clock.move(4)
    clock.move(100)
    assert (watch.test.seconds, watch.checkpoints.seconds) == (6, 10)
    assert (watch.test.joules, watch.checkpoints.joules) == (18, 30)


def test_its_state_counts_what_is_running(clock: Clock) -> None:
    watch, resumed = Stopwatch(gpus=0), Stopwatch(gpus=0)
    with watch.timing(watch.validation):
        clock.move(2)
        resumed.load_state_dict(watch.state_dict())
        clock.move(4)
    assert (watch.validation.seconds, resumed.validation.seconds) == (6, 2)


def test_nothing_waits_for_the_device_at_each_step(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[int] = []
    trainer: Any = SimpleNamespace(global_step=0)
    monkeypatch.setattr(stopwatch, "synchronise", lambda: waits.append(trainer.global_step))
    watch, module, ones = Stopwatch(gpus=0), pl.LightningModule(), torch.ones(2, 3)
    watch.on_train_start(trainer, module)
    for trainer.global_step in range(1, 101):
        watch.on_train_batch_end(trainer, module, None, [Piece({"input_ids": ones, "attention_mask": ones}, 1.0)], 0)
    assert waits == [0, 1, WARM_UP]
    assert (watch.training.samples, watch.training.tokens) == (200, 600)
    assert (watch.paced.samples, watch.paced.tokens) == (2 * (100 - WARM_UP), 6 * (100 - WARM_UP))


@pytest.mark.usefixtures("slow")
def test_each_part_of_a_run_is_measured_alone(configure: Configure) -> None:
    cost = run(configure("trainer.lr=1e-9", "trainer.checkpoint_minutes=1e-9")).cost
    assert cost.train_seconds == seconds_of(BATCHES)
    assert cost.validation_seconds == VALIDATIONS * 2 * 10
    assert cost.checkpoint_seconds is not None
    checkpoints, writes = divmod(cost.checkpoint_seconds, 100)
    assert checkpoints == 1 + BATCHES + 1, "the first validation stays the best; each step; the end of training"
    assert writes == VALIDATIONS + 1
    assert cost.test_seconds == 2 * 20
    assert cost.test_samples_per_second == 32 / 40
    assert cost.first_step_seconds == 40 + 100 + SLOW
    assert (cost.train_joules, cost.test_joules) == (WATTS * cost.train_seconds, WATTS * cost.test_seconds)


@pytest.mark.parametrize(
    ("overrides", "stops", "batches"),
    [
        ([], [5, 2], [5, 2, 11]),
        (["trainer.accumulate=4", "trainer.batch_size=2", "trainer.validate_every=3"], [], [18]),
        (["trainer.patience=1", "trainer.lr=1e-9"], [], [8]),
    ],
    ids=["interrupted", "accumulating", "stopping early"],
)
def test_the_pace_leaves_out_the_first_steps_of_each_process(
    configure: Configure, slow: Slow, overrides: list[str], stops: list[int], batches: list[int]
) -> None:
    for count in stops:
        interrupt(configure(*overrides), "on_train_batch_end", count)
    cost = run(configure(*overrides)).cost
    steady = sum(max(0, count - WARM_UP) for count in batches)
    assert cost.train_samples_per_second == ROWS / STEADY
    assert cost.train_tokens_per_second == slow.steady_tokens / (steady * STEADY)
    assert cost.train_seconds == sum(seconds_of(count) for count in batches)
    assert cost.train_joules == WATTS * cost.train_seconds
    assert cost.train_samples == sum(batches) * ROWS
    assert cost.validation_seconds == slow.validations * 10


@pytest.mark.usefixtures("slow")
def test_the_whole_time_is_that_of_all_processes(
    configure: Configure, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, taken = configure("trainer.checkpoint_minutes=1e9"), 0.0
    load = execute.load_model_and_data

    def slowly(config: RunConfig, *more: Any) -> Any:
        clock.move(1_000)
        return load(config, *more)

    monkeypatch.setattr(execute, "load_model_and_data", slowly)
    began = datetime.now(UTC)
    for count in (5, 2):
        start = clock.now
        interrupt(config, "on_train_batch_end", count)
        taken += clock.now - start
        clock.move(50_000)  # until somebody goes on
    start = clock.now
    record = run(config)
    taken += clock.now - start
    saves = 2 * 100  # a save ends after it has said how long all before it took
    assert record.cost.total_seconds == taken - saves
    assert began.replace(microsecond=0) <= datetime.fromisoformat(record.started_at) <= datetime.now(UTC)
    assert record.cost.first_step_seconds == 40 + SLOW


@pytest.mark.usefixtures("slow")
def test_a_run_began_with_its_first_process_and_held_what_any_of_them_held(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configure()
    with monkeypatch.context() as patch:
        patch.setattr(stopwatch, "peak_memory_bytes", lambda: 2**50)
        patch.setattr(stopwatch, "datetime", SimpleNamespace(now=lambda zone: datetime(2020, 1, 1, tzinfo=zone)))
        interrupt(config, "on_train_batch_end", 5)
    record = run(config)
    assert record.cost.peak_memory_bytes == 2**50
    assert record.started_at == "2020-01-01T00:00:00+00:00"


@pytest.mark.usefixtures("slow")
def test_of_a_run_that_has_no_others_the_first_steps_tell_the_pace(configure: Configure) -> None:
    assert run(configure(f"trainer.max_steps={WARM_UP}")).cost.train_samples_per_second == ROWS / SLOW


def test_on_a_cpu_energy_is_not_known(configure: Configure) -> None:
    cost = run(configure("trainer.max_steps=1")).cost
    assert cost.train_seconds > 0
    assert (cost.train_joules, cost.test_joules) == (None, None)


@pytest.mark.gpu
def test_on_a_gpu_energy_is_known(configure: Configure) -> None:
    assert run(configure("trainer.device=gpu")).cost.train_joules is not None
