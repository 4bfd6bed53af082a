"""Whole runs that train together, against the same runs alone."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from threading import Event

import pytest

from lnbench.config.run import RunConfig
from lnbench.core.interruption import RunInterrupted
from lnbench.launch.fused.together import run_together
from lnbench.records.failure import RunFailed
from lnbench.records.files import METRICS, PREDICTIONS, RESUME
from lnbench.records.finished import finished_record
from lnbench.records.identity import address_of, run_dir
from lnbench.records.record import Record
from lnbench.run.lifecycle import run
from lnbench.training.fused import stacker
from lnbench.training.fused.step import Learned, Step, learn
from tests import runs
from tests.conftest import Configure

SWEEP = [("seed=0",), ("seed=1",), ("seed=1", "trainer.lr=0.001")]
"""The last learns too slowly for its patience."""
COMMON = ("method=ln+prefix", "trainer.patience=2", "trainer.max_epochs=3")


@pytest.fixture(scope="module")
def sweep(
    sources: dict[str, Path], data_root: Path, tmp_path_factory: pytest.TempPathFactory
) -> Sequence[Sequence[RunConfig]]:
    """The runs of a sweep together, and the same alone."""
    folders = [tmp_path_factory.mktemp(name) for name in ("together", "alone")]
    return [[runs.configure(sources["bert"], data_root, folder, *COMMON, *one) for one in SWEEP] for folder in folders]


@pytest.fixture(scope="module")
def records(sweep: Sequence[Sequence[RunConfig]]) -> list[list[Record]]:
    """What they leave."""
    fused = dict(run_together(sweep[0], Event()))
    together = [outcome for place in range(len(SWEEP)) if isinstance(outcome := fused[place], Record)]
    return [together, [run(one) for one in sweep[1]]]


def rows(config: RunConfig) -> list[dict[str, float]]:
    """The course of a run."""
    with (run_dir(config) / METRICS).open() as file:
        return [{name: float(cell) for name, cell in row.items() if cell} for row in csv.DictReader(file)]


def labels(config: RunConfig) -> list[str]:
    """A run's answers to the test."""
    return [json.loads(line)["label"] for line in (run_dir(config) / PREDICTIONS).read_text().splitlines()]


def assert_equal(one: RunConfig, other: RunConfig) -> None:
    """Losses and validation scores to 1e-4, and the same answers to the test."""
    for left, right in zip(rows(one), rows(other), strict=True):
        assert left == pytest.approx(right, rel=1e-4)
    assert labels(one) == labels(other)


def assert_equal_alone(together: Sequence[RunConfig], folder: Path) -> None:
    """Does runs together, and each alone with its results in `folder`."""
    assert all(isinstance(outcome, Record) for _, outcome in run_together(together, Event()))
    for one in together:
        alone = one.model_copy(update={"runs_dir": folder})
        run(alone)
        assert_equal(one, alone)


def test_runs_are_equal_to_those_alone(sweep: Sequence[Sequence[RunConfig]], records: list[list[Record]]) -> None:
    for one, other in zip(*sweep, strict=True):
        assert_equal(one, other)


@pytest.mark.parametrize(
    "settings",
    [
        ("method=ln+prefix", "trainer.accumulate=2"),
        ("method=fisher_ln", "method.fisher_ln.batches=2"),
        ("method=adalora", "method.adalora.interval=2"),
        ("method=ln", "method.ln.layers=2-3", "trainer.frozen_dropout=false"),
    ],
    ids=["accumulate", "masked gradients", "ranks allotted", "frozen layers once"],
)
def test_settings_hold_together_too(configure: Configure, settings: Sequence[str], tmp_path: Path) -> None:
    assert_equal_alone([configure(*settings, f"seed={seed}") for seed in range(2)], tmp_path / "alone")


def test_records_are_whole(sweep: Sequence[Sequence[RunConfig]], records: list[list[Record]]) -> None:
    fused, alone = records
    assert [one.id for one in fused] == [one.id for one in alone]
    assert [finished_record(address_of(config)) for config in sweep[0]] == fused
    assert [one.parameters for one in fused] == [one.parameters for one in alone]
    assert [one.cost.steps for one in fused] == [one.cost.steps for one in alone]
    assert [one.hardware["runs_together"] for one in fused + alone] == [3, 3, 3, 1, 1, 1]


def test_one_stopped_early(records: list[list[Record]]) -> None:
    steps = [one.cost.steps for one in records[0]]
    assert min(steps) < max(steps)


def test_a_run_that_diverges_and_an_interruption_leave_the_others_alone(
    sweep: Sequence[Sequence[RunConfig]], records: list[list[Record]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fine, diverging = (one.model_copy(update={"runs_dir": tmp_path}) for one in (sweep[0][0], sweep[0][1]))
    stop, stacks = Event(), []

    def break_and_stop(steps: list[Step]) -> list[Learned]:
        stacks.append(len(steps))
        learned = learn(steps)
        if len(stacks) == 3:
            learned[1] = Learned(learned[1].loss * float("nan"), learned[1].gradients)
        if len(stacks) == 6:
            stop.set()
        return learned

    monkeypatch.setattr(stacker, "learn", break_and_stop)
    outcomes = dict(run_together([fine, diverging], stop))
    assert stacks == [2, 2, 2, 1, 1, 1]
    assert isinstance(outcomes[1], RunFailed)
    assert outcomes[1].cause == "diverged"
    assert isinstance(outcomes[0], RunInterrupted)
    assert (run_dir(fine) / RESUME).is_file()
    assert isinstance(dict(run_together([fine], Event()))[0], Record)
    assert_equal(fine, sweep[1][0])
