import json
import math
import os
import platform
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from lnbench.records import environment


def test_versions_name_what_can_change_a_result() -> None:
    versions = environment.versions()
    assert versions["python"] == platform.python_version()
    assert versions["torch"] == torch.__version__
    assert {"lnbench", "transformers", "pytorch-lightning"} <= set(versions)


def test_hardware_is_plain_json() -> None:
    hardware = environment.hardware()
    assert json.loads(json.dumps(hardware)) == hardware
    assert hardware["threads"] == torch.get_num_threads()
    assert hardware["memory_bytes"] > 2**28
    assert hardware["cpu"]
    assert hardware["cpu_capability"] == torch.backends.cpu.get_cpu_capability()
    assert re.fullmatch(r"(\d+ \d+)?", hardware["cpu_model"])


def test_peak_memory_grows_with_what_is_held() -> None:
    environment.forget_peak_memory()
    before = environment.peak_memory_bytes()
    held = bytearray(before)
    assert environment.peak_memory_bytes() >= 1.5 * before
    assert len(held) == before


LINUX = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux, where /proc tells the peak of a process")


@LINUX
def test_peak_memory_is_reset() -> None:
    held = bytearray(2**29)
    peak = environment.peak_memory_bytes()
    del held
    environment.forget_peak_memory()
    assert environment.peak_memory_bytes() < peak - 2**28


@LINUX
def test_peak_memory_does_not_count_what_the_parent_held() -> None:
    """A process starts with the `ru_maxrss` of its parent on Linux (seen on 6.x); lnbench's figure is its own."""
    own = "from lnbench.records import environment; print(environment.peak_resident_bytes())"
    small = int(subprocess.run([sys.executable, "-c", own], check=True, capture_output=True, text=True).stdout)
    held = bytearray(small + 2**29)
    again = int(subprocess.run([sys.executable, "-c", own], check=True, capture_output=True, text=True).stdout)
    assert again < len(held)


BUSY = "import time\nwhile True: pass"


@LINUX
def test_waiting_for_a_core_is_counted() -> None:
    """Three threads of work on one core: each waits about two thirds of the time. This one computes for 0.3 s."""
    if math.isnan(environment.seconds_without_core()):
        pytest.skip("this kernel does not count it: it needs CONFIG_SCHED_INFO")
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})  # for this thread and the processes that it starts
    others = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(2)]
    try:
        before, until = environment.seconds_without_core(), time.thread_time() + 0.3
        while time.thread_time() < until:
            pass
        assert environment.seconds_without_core() - before > 0.1
    finally:
        os.sched_setaffinity(0, cores)
        for other in others:
            other.kill()
            other.wait()


def test_where_the_system_does_not_tell_the_waiting_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", refuse)
    assert math.isnan(environment.seconds_without_core())


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a commit, in which lnbench seems to lie."""
    file = tmp_path / "lnbench" / "records" / "environment.py"
    file.parent.mkdir(parents=True)
    file.write_text("")
    for command in (
        ["init", "--quiet"],
        ["add", "."],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "--message=first"],
        ["tag", "v1"],
    ):
        subprocess.run(["git", "-C", str(tmp_path), *command], check=True)
    monkeypatch.setattr(environment, "__file__", str(file))
    return tmp_path


def test_the_commit_of_a_checkout_is_known(checkout: Path) -> None:
    clean = environment.git_commit()
    assert clean
    assert re.fullmatch("[0-9a-f]{40}", clean)
    (checkout / "lnbench" / "records" / "environment.py").write_text("# changed")
    assert environment.git_commit() == f"{clean}-dirty"


def test_an_installed_package_has_no_commit(
    checkout: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = checkout / ".venv" / "site-packages" / "environment.py"
    outside = tmp_path_factory.mktemp("outside") / "environment.py"
    for file in (inside, outside):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("")
        monkeypatch.setattr(environment, "__file__", str(file))
        assert environment.git_commit() is None


def test_without_git_there_is_no_commit(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert environment.git_commit() is None
