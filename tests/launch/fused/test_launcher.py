"""The launcher with real processes."""

import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytest

from lnbench.records.files import METRICS, RESUME
from lnbench.records.identity import run_dir
from lnbench.records.listing import find_runs
from lnbench.run.lifecycle import run
from tests import runs
from tests.forking import Program
from tests.launch import jobs
from tests.launch.fused.test_together import assert_equal
from tests.launch.launching import launch_by
from tests.waiting import wait_for

QUICK = ["hydra.launcher.gpus=0", "hydra.launcher.preload=[]", "hydra.launcher.busy_poll_seconds=0.01"]
Start = Callable[..., Program]


def wait_for_progress(folders: Sequence[Path]) -> None:
    """Until all runs save metrics and state from now on."""
    begun = time.time()
    files = [folder / name for folder in folders for name in (METRICS, RESUME)]
    wait_for(lambda: all(written_since(file, begun) for file in files))


def written_since(file: Path, begun: float) -> bool:
    """Whether a file, which may come and go, is there and of a time after `begun`."""
    try:
        return file.stat().st_mtime > begun
    except FileNotFoundError:
        return False


@pytest.fixture
def start(sources: dict[str, Path], data_root: Path, runs_dir: Path) -> Start:
    """Starts a sweep of short runs."""

    def begin(*overrides: str) -> Program:
        single = runs.overrides(sources["bert"], data_root, runs_dir)
        command = [sys.executable, "-m", "lnbench", "-m", *single, "hydra/launcher=fused", *overrides]
        return Program(command, os.environ)

    return begin


@pytest.mark.usefixtures("hydra_restore_singletons")
def test_jobs_that_are_no_runs_stay_alone(tmp_path: Path) -> None:
    returned = launch_by("fused", jobs.tell, [["+x=a"], ["+x=b"]], tmp_path, None, *QUICK)
    first, second = (job.return_value for job in returned)
    assert [first["x"], second["x"]] == ["a", "b"]
    assert first["pid"] != second["pid"]


@pytest.mark.slow
def test_a_sweep_with_a_search_and_runs_that_do_not_fit(start: Start, runs_dir: Path) -> None:
    sweep = ["method=ln,full", "seed=0,1", "search=lr", "search.values=[0.5,1]"]
    assert start(*sweep).wait() == 0
    assert [run.state for run in find_runs(runs_dir)] == ["finished"] * 8
    logs = [log.read_text() for log in (runs_dir / "logs").iterdir()]
    assert len(logs) == 3, "LN-tuning together, full tuning apart"
    assert sum(log.count("  trains   ") for log in logs) == 8, "seeds share trials"
    assert start(*sweep).wait() == 0
    assert len(list((runs_dir / "logs").iterdir())) == 3, "nothing is done again"


@pytest.mark.slow
def test_a_sweep_that_is_stopped_and_then_killed_goes_on(
    start: Start, sources: dict[str, Path], data_root: Path, runs_dir: Path, tmp_path: Path
) -> None:
    common = ["trainer.max_epochs=20", "trainer.checkpoint_minutes=0.001", "trainer.lr=0.003"]
    configure = partial(runs.configure, sources["bert"], data_root)
    fused, alone = (
        [configure(folder, *common, f"seed={seed}") for seed in range(2)] for folder in (runs_dir, tmp_path / "alone")
    )
    for number, code in ((signal.SIGTERM, 130), (signal.SIGKILL, -signal.SIGKILL)):
        program = start(*common, "seed=0,1")
        wait_for_progress([run_dir(one) for one in fused])
        program.send_signal(number)
        assert program.wait() == code
        assert all((run_dir(one) / RESUME).is_file() for one in fused)
    assert start(*common, "seed=0,1").wait() == 0
    for one, other in zip(fused, alone, strict=True):
        run(other)
        assert_equal(one, other)
