"""Sweeps that are killed, damaged, and started twice."""

import os
import random
import sys
from pathlib import Path

import pytest

from lnbench.records.listing import find_runs
from scripts.chaos_sweep import chaos
from tests import runs
from tests.forking import Program


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_sweep_that_is_killed_again_and_again_ends_like_one_that_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scripts.chaos_sweep.subprocess.Popen", lambda command, env, **_: Program(command, env))
    assert chaos(tmp_path, seeds=1, kills=3, rng=random.Random(1)) == []


def test_two_sweeps_on_one_folder_do_each_run_once(sources: dict[str, Path], data_root: Path, runs_dir: Path) -> None:
    single = [one for one in runs.overrides(sources["bert"], data_root, runs_dir) if not one.startswith("method=")]
    command = [sys.executable, "-m", "lnbench", "-m", *single, "method=ln,bitfit", "seed=0,1"]
    settings = ["hydra.launcher.cpu_slots=2", "hydra.launcher.busy_poll_seconds=0.5"]
    processes = [Program([*command, *settings], os.environ) for _ in range(2)]
    assert [process.wait() for process in processes] == [0, 0]
    assert [run.state for run in find_runs(runs_dir)] == ["finished"] * 4
    logs = "".join(log.read_text() for log in (runs_dir / "logs").iterdir())
    assert logs.count("  trains   ") == 4
