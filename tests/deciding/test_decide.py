"""The command, with tiny models that are really tuned."""

import json
import os
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from lnbench.cli import IN_THIS_PROCESS
from lnbench.core.errors import INTERRUPTED, REFUSED
from lnbench.deciding.runs import Run, Runs
from lnbench.records.files import DECISIONS, RECORD
from lnbench.runs.missing import runs_of_sweep
from lnbench.submit import submit
from tests import runs
from tests.commands import Commands
from tests.forking import Program
from tests.tiny import LAYERS
from tests.waiting import wait_for

CLAIM = "ln better than bitfit"


@pytest.fixture
def overrides(sources: dict[str, Path], data_root: Path, runs_dir: Path) -> list[str]:
    """Those of a run on the tiny BERT, without method and task."""
    whole = runs.overrides(sources["bert"], data_root, runs_dir, "trainer.max_steps=4")
    return [one for one in whole if one not in ("method=ln", "task=sst2")]


def ids(runs_dir: Path) -> set[str]:
    return {path.parent.name for path in runs_dir.rglob(RECORD)}


def path_in(runs_dir: Path) -> dict[str, Any]:
    (file,) = (runs_dir / DECISIONS).iterdir()
    content: dict[str, Any] = json.loads(file.read_text())
    return content


@pytest.mark.slow
def test_it_does_the_runs_of_a_sweep_and_goes_on_after_ctrl_c(
    commands: Commands, overrides: list[str], runs_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [CLAIM, "--tasks", "sst2", "--seeds-max", "3", *overrides, IN_THIS_PROCESS]
    launch = Runs.launch

    def interrupted(self: Runs, chosen: Sequence[Run]) -> None:
        """What a launcher does at Ctrl-C after two runs."""
        launch(self, chosen[:2])
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Runs, "launch", interrupted)
        assert commands.decide(*words).code == INTERRUPTED
    before = {path: path.read_bytes() for path in runs_dir.rglob(RECORD)}
    assert len(before) == 2

    done = commands.decide(*words)
    assert done.code == 0
    assert "1 task x 3 seeds" in done.out
    assert {path: path.read_bytes() for path in before} == before
    found, path = ids(runs_dir), path_in(runs_dir)
    assert len(found) == 6
    (course,) = path["comparisons"]
    assert [(look["seeds"], look["level"]) for look in course["looks"]] == [({"sst2": 3}, 0.05)]

    assert commands.lnbench("-m", "method=ln,bitfit", "task=sst2", "seed=0,1,2", *overrides).code == 0
    assert ids(runs_dir) == found, "the ordinary command finds all of them finished"
    assert commands.decide(*words).code == 0
    assert (ids(runs_dir), path_in(runs_dir)) == (found, path)

    assert commands.report(runs_dir).code == 0
    for file in ("claims.md", "index.html"):
        text = (runs_dir / "report" / file).read_text()
        assert "Run until they decided" in text
        assert "sst2 3" in text

    submit(runs_dir, runs_dir / "all", [])
    shutil.rmtree(runs_dir / "sst2")
    assert commands.decide(*words).code == 0
    assert (ids(runs_dir), path_in(runs_dir)) == (set(), path), "it goes on from packed runs"
    swept = [one for one in overrides if not one.startswith("runs_dir=")]
    jobs = runs_of_sweep(["method=ln,bitfit", "task=sst2", "seed=0,1,2,3", *swept], runs_dir)
    assert [(job.state, job.id in found) for job in jobs] == 2 * ([("finished", True)] * 3 + [("never started", False)])


@pytest.mark.slow
def test_it_goes_on_after_a_kill_and_two_of_it_share_the_runs(overrides: list[str], runs_dir: Path) -> None:
    launcher = ["hydra.launcher.cpu_slots=2", "hydra.launcher.busy_poll_seconds=0.5"]
    tasks = [CLAIM, "--tasks", "sst2", "--seeds-max", "3"]
    command = [sys.executable, "-m", "lnbench.decide", *tasks, *overrides, *launcher]

    killed = Program(command, os.environ)
    wait_for(lambda: ids(runs_dir))
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    before = {path: path.read_bytes() for path in runs_dir.rglob(RECORD)}
    assert len(before) < 6

    both = [Program(command, os.environ) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    assert len(ids(runs_dir)) == 6
    assert {path: path.read_bytes() for path in before} == before
    assert path_in(runs_dir)["comparisons"][0]["looks"][0]["seeds"] == {"sst2": 3}


def test_a_plan_runs_nothing(commands: Commands, overrides: list[str], runs_dir: Path) -> None:
    done = commands.decide(CLAIM, "--tasks", "sst2", "--plan", *overrides)
    assert done.code == 0
    assert "Next: 6 runs\n  method=ln task=sst2 seed=0\n  method=bitfit task=sst2 seed=0\n" in done.out
    assert "At most 80 runs, if nothing is decided before." in done.out
    assert not runs_dir.exists()


def test_halves_of_the_layers_are_those_of_the_model(commands: Commands, overrides: list[str]) -> None:
    done = commands.decide("upper-over-lower-layers", "--tasks", "sst2", "--plan", *overrides)
    assert done.code == 0
    half = LAYERS // 2
    assert f"method=ln method.ln.layers={LAYERS - half + 1}-{LAYERS} task=sst2 seed=0\n" in done.out
    assert f"method=ln method.ln.layers=1-{half} task=sst2 seed=0\n" in done.out


WRONG = {
    "a method": (["method=ln"], "method=ln: method cannot be given here; the claims name the methods"),
    "a seed": (["seed=1"], "seed=1: seed cannot be given here; seeds are added as they are needed"),
    "several values": (["trainer.lr=0.1,0.2"], "trainer.lr=0.1,0.2: has several values"),
    "no test": (["test=false"], "test = false: must be true, because test scores are compared"),
    "an unknown task": (["--tasks", "sst3"], "sst3"),
    "an unknown key": (["trainer.rate=1"], "trainer.rate"),
    "too few seeds": (["--seeds-max", "2"], "argument --seeds-max: '2': must be a whole number of at least 3"),
    "no level": (["--level", "1"], "argument --level: '1': must be a number between 0 and 0.5"),
    "no budget": (["--budget-hours", "nan"], "argument --budget-hours: 'nan': must be a number greater than 0"),
}


@pytest.mark.parametrize(("arguments", "message"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_told_before_a_run(
    commands: Commands, overrides: list[str], runs_dir: Path, arguments: list[str], message: str
) -> None:
    done = commands.decide(CLAIM, "--tasks", "sst2", *overrides, *arguments)
    assert done.code == REFUSED
    assert message in done.err
    assert not runs_dir.exists()


def test_forgetting_needs_a_general_text(commands: Commands, overrides: list[str], runs_dir: Path) -> None:
    done = commands.decide("ln better than full in forgetting", "--tasks", "sst2", *overrides)
    assert done.code == REFUSED
    assert "forgetting is measured on a general text; type retention.path=FILE, or retention.data=NAME" in done.err
    assert not runs_dir.exists()


def test_an_unknown_method_is_told(commands: Commands, overrides: list[str]) -> None:
    done = commands.decide("lm better than bitfit", "--tasks", "sst2", *overrides)
    assert done.code == REFUSED
    assert "lm" in done.err
