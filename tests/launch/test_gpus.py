"""The launcher with real processes."""

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from hydra.core.utils import JobReturn, JobStatus

import lnbench
from lnbench.core.errors import JobFailed
from lnbench.core.schema import ConfigError
from lnbench.launch.job import Job, Sweep, error_of
from lnbench.launch.local import launch as local_launch
from tests.launch import jobs
from tests.launch.launching import launch

pytestmark = pytest.mark.usefixtures("hydra_restore_singletons")


@pytest.fixture
def deaths(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What was recorded of jobs that died: their titles, and the reasons."""
    recorded: list[tuple[str, str]] = []

    def record_death(sweep: Sweep, job: Job, death: JobFailed) -> None:
        recorded.append((job.title, str(death)))

    monkeypatch.setattr("lnbench.launch.launch.record_dead_job", record_death)
    return recorded


def values(returned: Sequence[JobReturn]) -> list[object]:
    """What the jobs returned."""
    return [job.return_value for job in returned]


def overrides(*xs: object, **common: object) -> list[list[str]]:
    """One job for each x."""
    return [[f"+x={x}", *(f"+{key}={value}" for key, value in common.items())] for x in xs]


def test_every_job_has_a_fresh_process(tmp_path: Path) -> None:
    first, second = (job.return_value for job in launch(jobs.tell, overrides("a", "b"), tmp_path))
    assert first["pid"] != second["pid"]
    assert first["parent"] == second["parent"], "both come from the fork server"
    assert [first["x"], second["x"]] == ["a", "b"]
    assert [first["job"], second["job"]] == [(0, "test_0"), (1, "test_1")]
    assert first["mode"] == "RunMode.MULTIRUN"


def test_a_job_can_be_a_closure(tmp_path: Path) -> None:
    factor = 3
    assert values(launch(lambda config: factor * config.x, overrides(1, 2), tmp_path)) == [3, 6]


@pytest.mark.parametrize(
    ("settings", "seen"),
    [
        ({"gpus": [0, 1]}, ["0", "1"]),
        ({"gpus": ["GPU-ab", "GPU-cd"]}, ["GPU-ab", "GPU-cd"]),
        ({"gpus": [5], "per_gpu": 2}, ["5", "5"]),
        ({"gpus": 0, "cpu_slots": 2}, ["", ""]),
    ],
)
def test_jobs_run_at_once_each_on_its_slot(tmp_path: Path, settings: dict[str, object], seen: list[str]) -> None:
    (tmp_path / "met").mkdir()
    returned = launch(jobs.meet, overrides(0, 1, folder=tmp_path / "met", count=2), tmp_path, **settings)
    assert sorted(map(str, values(returned))) == seen


def test_a_slot_is_used_again(tmp_path: Path) -> None:
    returned = launch(jobs.tell, overrides(*range(4)), tmp_path, gpus=[7])
    assert [job.return_value["gpus"] for job in returned] == ["7"] * 4


def test_what_a_job_writes_goes_to_its_file(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    launch(jobs.tell, overrides("a", "b"), tmp_path)
    logs = sorted((tmp_path / "logs").iterdir())
    assert [log.name.rpartition("-")[2] for log in logs] == ["0.log", "1.log"]
    assert [log.read_text() for log in logs] == [f"printed {x}\nbelow Python\n" for x in "ab"]
    assert "printed" not in capfd.readouterr().out


def test_the_parent_tells_of_each_job_in_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    launch(jobs.break_down, overrides("well", "raise", common=1), tmp_path)
    first, second, summary, *table = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"1/2 finished in \d+ s: \+x=well -> 0\.5000", first)
    assert re.fullmatch(r"2/2 failed after \d+ s: \+x=raise: first line \(.*-1\.log\)", second)
    assert summary.startswith("1 finished, 1 failed in ")
    assert "ValueError" in "\n".join(table)


@pytest.mark.parametrize(
    ("x", "cause", "message", "recorded"),
    [
        ("kill", "killed", "the process was killed by SIGKILL, as when the machine's memory runs out", True),
        ("crash", "killed", "the process was killed by SIGSEGV", True),
        ("exit", "killed", "the process ended with exit code 7 and no result", True),
        ("sys.exit", "killed", "the process ended with exit code 3 and no result", True),
        ("stop", "stopped", "stopped by a signal; the same command goes on from its last saved state", False),
    ],
)
def test_a_dead_job_does_not_end_the_sweep(
    tmp_path: Path, deaths: list[tuple[str, str]], x: str, cause: str, message: str, recorded: bool
) -> None:
    dead, well = launch(jobs.break_down, overrides(x, "well"), tmp_path)
    assert (dead.status, dead.overrides) == (JobStatus.FAILED, [f"+x={x}"])
    error = error_of(dead)
    assert isinstance(error, JobFailed)
    assert (error.cause, str(error)) == (cause, message)
    assert deaths == ([(f"+x={x}", message)] if recorded else [])
    assert well.return_value == 0.5
    (log,) = (tmp_path / "logs").glob("*-0.log")
    assert ("in break_down" in log.read_text()) == (x == "crash"), "a crash leaves its place"


def test_an_exception_comes_back_and_its_traceback_is_in_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken, well = launch(jobs.break_down, overrides("raise", "well"), tmp_path)
    assert (broken.status, well.return_value) == (JobStatus.FAILED, 0.5)
    with pytest.raises(ValueError, match="first line"):
        _ = broken.return_value
    assert capsys.readouterr().err == "", "Hydra does not tell again"
    (log,) = (tmp_path / "logs").glob("*-0.log")
    assert log.read_text().startswith("Traceback ")
    assert log.read_text().endswith("ValueError: first line\nsecond line\n")


@pytest.mark.parametrize(("x", "message"), [("odd", "OddError: one"), ("unpicklable", "TypeError: cannot pickle")])
def test_what_cannot_be_sent_is_described(tmp_path: Path, x: str, message: str) -> None:
    (returned,) = launch(jobs.break_down, overrides(x), tmp_path)
    assert str(error_of(returned)).startswith(message)


def test_a_busy_job_is_done_after_the_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert values(launch(jobs.busy_once, overrides(0, 1, 2, folder=tmp_path), tmp_path)) == [0, 1, 2]
    assert (tmp_path / "turns").read_text() == "0 1 2 0 "
    assert "tried again later: +x=0: run 0 is being done by someone\n" in capsys.readouterr().out


@pytest.mark.slow
def test_a_preloaded_fork_server_has_one_thread(tmp_path: Path) -> None:
    script = (
        "from pathlib import Path; from tests.launch import jobs; from tests.launch.launching import launch\n"
        "preload = ['lnbench.run.lifecycle', 'lnbench.run.execute', 'sklearn.metrics']\n"
        f"(job,) = launch(jobs.tell, [['+x=1']], Path({str(tmp_path)!r}), preload=preload)\n"
        "assert job.return_value['threads_of_parent'] == 1, job.return_value\n"
    )
    root = Path(lnbench.__file__).parents[1]
    environment = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
    subprocess.run([sys.executable, "-W", "error", "-c", script], cwd=root, env=environment, check=True)


def test_an_empty_launch_starts_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_launch, "start_fork_server", None)
    with pytest.raises(ConfigError, match="the sweep has no jobs"):
        launch(jobs.tell, [], tmp_path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"gpus": -1}, "hydra.launcher.gpus.*-1: must be greater than or equal to 0"),
        ({"gpus": []}, "hydra.launcher.gpus"),
        ({"per_gpu": 0}, "hydra.launcher.per_gpu = 0: "),
        ({"cpu_slots": "two"}, "hydra.launcher.cpu_slots = 'two': "),
        ({"gpu": 1}, "hydra.launcher.gpu: unknown key; did you mean 'gpus'?"),
    ],
)
def test_wrong_settings_are_named(tmp_path: Path, settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace("?", r"\?")):
        launch(jobs.tell, overrides("a"), tmp_path, **settings)
