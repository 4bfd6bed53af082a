"""What is missing is done in a useful order, for as long as there is time."""

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lnbench.records.listing import find_runs
from lnbench.run.lifecycle import run
from lnbench.runs.missing import SweepRun
from scripts.record_day import in_order
from tests import runs
from tests.conftest import Configure

ROOT = Path(__file__).parents[2]


def job(name: str, seed: int, state: str = "never started") -> SweepRun:
    return SweepRun(f"{name} on sst2 with tiny, seed {seed}", f"{name}{seed}", "", state, "", "python -m lnbench")  # type: ignore[arg-type]


def test_every_method_has_its_first_seed_before_any_has_its_second() -> None:
    first = [job("ln", 0, "finished"), job("ln", 1), job("bitfit", 0), job("bitfit", 1, "failed")]
    second = [job("lora", 0), job("ln", 1), job("lora", 1, "running")]
    assert [one.id for one in in_order([first, second])] == ["bitfit0", "lora0", "ln1", "bitfit1"]


def start(sources: dict[str, Path], data_root: Path, runs_dir: Path, hours: float, *more: str) -> subprocess.Popen[str]:
    sweep = shlex.join([*runs.overrides(sources["bert"], data_root, runs_dir), "seed=0,1", *more])
    command = ["-m", "scripts.record_day", "--hours", str(hours), "--runs-dir", str(runs_dir), sweep]
    return subprocess.Popen([sys.executable, *command], cwd=ROOT, text=True, stdout=subprocess.PIPE)


def states(runs_dir: Path) -> list[str]:
    return sorted(found.state for found in find_runs(runs_dir))


def test_it_does_what_is_missing(
    configure: Configure, sources: dict[str, Path], data_root: Path, runs_dir: Path
) -> None:
    run(configure("trainer.max_steps=2"))
    process = start(sources, data_root, runs_dir, 1.0, "trainer.max_steps=2")
    out, _ = process.communicate(timeout=200)
    assert process.returncode == 0
    assert out.splitlines()[0] == "1/1 ln on sst2 with tiny, seed 1"
    assert out.splitlines()[1].startswith("1 finished, 0 failed, 0 left")
    assert states(runs_dir) == ["finished", "finished"]


@pytest.mark.parametrize("by", ["time", "signal"])
def test_it_stops_when_told_and_leaves_what_was_begun(
    sources: dict[str, Path], data_root: Path, runs_dir: Path, by: str
) -> None:
    process = start(sources, data_root, runs_dir, 3 / 3600 if by == "time" else 1.0, "trainer.max_epochs=100000")
    if by == "signal":
        end = time.monotonic() + 200
        while not list(runs_dir.rglob("config.json")) and time.monotonic() < end:
            time.sleep(0.2)
        os.kill(process.pid, signal.SIGTERM)
    out, _ = process.communicate(timeout=200)
    assert process.returncode == (0 if by == "time" else 130)
    assert "0 finished, 0 failed, 2 left" in out
    assert "finished" not in states(runs_dir)
