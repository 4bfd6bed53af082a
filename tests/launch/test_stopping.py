"""Ctrl-C, and the death of the launcher."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import lnbench
from tests.waiting import wait_for

Program = subprocess.Popen[str]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Program]]:
    """Starts a launch of three jobs on two slots, in a group of processes like a terminal's; two are then running."""
    programs = []

    def begin(deaf: bool = False) -> Program:
        root = Path(lnbench.__file__).parents[1]
        program = subprocess.Popen(
            [sys.executable, "-m", "tests.launch.launching", str(tmp_path), str(deaf)],
            cwd=root,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        programs.append(program)
        wait_for(lambda: all(_written(tmp_path / f"pid-{x}") for x in range(2)))
        return program

    yield begin
    for program in programs:
        program.kill()
        program.communicate()


def test_ctrl_c_lets_the_running_jobs_save(start: Callable[..., Program], tmp_path: Path) -> None:
    program = start()
    os.killpg(program.pid, signal.SIGINT)
    output = program.communicate(timeout=120)[0]
    assert program.returncode == 130
    assert [(tmp_path / f"saved-{x}").read_text() for x in range(2)] == ["once ", "once "]
    assert not (tmp_path / "pid-2").exists(), "no other job starts"
    assert output.startswith("Stopping. 2 running jobs will save the state first.")
    assert output.endswith("Stopped. The same command goes on with what is left.\n")
    assert "Traceback" not in output


def test_a_signal_for_the_launcher_alone_is_passed_on(start: Callable[..., Program], tmp_path: Path) -> None:
    program = start()
    program.send_signal(signal.SIGTERM)
    program.communicate(timeout=120)
    assert program.returncode == 130
    assert [(tmp_path / f"saved-{x}").read_text() for x in range(2)] == ["once ", "once "]


def test_a_second_ctrl_c_ends_the_jobs_at_once(start: Callable[..., Program], tmp_path: Path) -> None:
    program = start(deaf=True)
    os.killpg(program.pid, signal.SIGINT)
    wait_for(lambda: all((tmp_path / f"saved-{x}").exists() for x in range(2)))
    assert program.poll() is None, "it waits"
    os.killpg(program.pid, signal.SIGINT)
    program.communicate(timeout=120)
    assert program.returncode == 130
    assert not any(map(_alive, _pids(tmp_path)))


def test_no_job_outlives_the_launcher(start: Callable[..., Program], tmp_path: Path) -> None:
    program = start()
    pids = _pids(tmp_path)
    assert all(map(_alive, pids))
    program.kill()
    wait_for(lambda: not any(map(_alive, pids)))
    assert not list(tmp_path.glob("saved-*"))


def _pids(folder: Path) -> list[int]:
    return [int((folder / f"pid-{x}").read_text()) for x in range(2)]


def _written(file: Path) -> bool:
    return file.is_file() and bool(file.read_text())


def _alive(pid: int) -> bool:
    """Whether the process runs; one that nobody has waited for yet does not."""
    status = Path(f"/proc/{pid}/stat")
    try:
        return status.read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
