"""What is missing is done in a useful order, for as long as there is time."""

import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from lnbench.records.listing import find_runs
from lnbench.run.lifecycle import run
from lnbench.runs.missing import SweepRun
from scripts import record_day
from scripts.record_day import in_order
from tests import runs
from tests.conftest import Configure
from tests.forking import Program
from tests.waiting import wait_for

Record = Callable[..., tuple[int, list[str]]]
PROGRAM = """
import pathlib, signal, sys
try:
    pathlib.Path({begun!r}).touch()
    signal.pause()
except KeyboardInterrupt:
    with open({saved!r}, "a") as file:
        file.write("once")
    sys.exit(130)
"""
"""Stands for a run: works until it is told to stop, and then saves."""


def job(name: str, seed: int, state: str = "never started") -> SweepRun:
    return SweepRun(f"{name} on sst2 with tiny, seed {seed}", f"{name}{seed}", "", state, "", "python -m lnbench")  # type: ignore[arg-type]


def test_every_method_has_its_first_seed_before_any_has_its_second() -> None:
    first = [job("ln", 0, "finished"), job("ln", 1), job("bitfit", 0), job("bitfit", 1, "failed")]
    second = [job("lora", 0), job("ln", 1), job("lora", 1, "running")]
    assert [one.id for one in in_order([first, second])] == ["bitfit0", "lora0", "ln1", "bitfit1"]


@pytest.fixture
def record(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], runs_dir: Path) -> Iterator[Record]:
    """Calls the script in this process; returns its exit code and what it printed."""
    monkeypatch.setattr(os, "nice", lambda by: by)
    handler = signal.getsignal(signal.SIGTERM)

    def call(hours: float, *sweep: str) -> tuple[int, list[str]]:
        arguments = ["--hours", str(hours), "--runs-dir", str(runs_dir), shlex.join(sweep)]
        monkeypatch.setattr(sys, "argv", ["record_day", *arguments])
        with pytest.raises(SystemExit) as end:
            record_day.main()
        return int(end.value.code or 0), capsys.readouterr().out.splitlines()

    yield call
    signal.signal(signal.SIGTERM, handler)


def test_it_does_what_is_missing(
    record: Record,
    configure: Configure,
    sources: dict[str, Path],
    data_root: Path,
    runs_dir: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run(configure("trainer.max_steps=2"))
    monkeypatch.setattr("scripts.record_day.subprocess.Popen", lambda command, **_: Program(command, os.environ))
    capsys.readouterr()
    code, told = record(1.0, *runs.overrides(sources["bert"], data_root, runs_dir), "seed=0,1", "trainer.max_steps=2")
    assert code == 0
    assert told[0] == "1/1 ln on sst2 with tiny, seed 1"
    assert told[1].startswith("1 finished, 0 failed, 0 left")
    assert [found.state for found in find_runs(runs_dir)] == ["finished", "finished"]


@pytest.mark.parametrize("by", ["time", "signal"])
def test_it_stops_when_told_and_lets_the_run_save(
    record: Record, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, by: str
) -> None:
    begun, saved, moments = tmp_path / "begun", tmp_path / "saved", iter([0.0, 0.0])
    program = PROGRAM.format(begun=str(begun), saved=str(saved))
    jobs = [replace(job("ln", seed), command=shlex.join(["python", "-c", program])) for seed in range(2)]
    monkeypatch.setattr(record_day, "runs_of_sweep", lambda *_: jobs)

    def monotonic() -> float:
        """Asked the third time, how long to wait for the run: when it has begun, the time is up or a signal comes."""
        for moment in moments:
            return moment
        wait_for(begun.exists)
        if by == "signal":
            os.kill(os.getpid(), signal.SIGTERM)
        return 3600.0

    monkeypatch.setattr(record_day, "time", SimpleNamespace(monotonic=monotonic))
    code, told = record(1.0, "seed=0,1")
    assert code == (0 if by == "time" else 130)
    assert told[0] == "1/2 ln on sst2 with tiny, seed 0"
    assert told[1].startswith("0 finished, 0 failed, 2 left")
    assert saved.read_text() == "once"
