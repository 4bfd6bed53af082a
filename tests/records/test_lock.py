import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lnbench.records.lock import LOCKS, RunBusy, hold, is_held

HOLDER = """
import sys, time
from pathlib import Path
from lnbench.records.lock import hold
with hold(Path(sys.argv[1]), "id"):
    print("held", flush=True)
    time.sleep(60)
"""


def start_holder(runs_dir: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", HOLDER, runs_dir], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "held\n"
    return process


def test_one_holder_at_a_time_told_by_name(tmp_path: Path) -> None:
    with hold(tmp_path, "id"), hold(tmp_path, "other"):
        assert is_held(tmp_path, "id")
        with pytest.raises(RunBusy, match=rf"^run id is being done by process {os.getpid()} on .+ since 20"):
            hold(tmp_path, "id").__enter__()
    assert not is_held(tmp_path, "id")
    with hold(tmp_path, "id"):
        pass
    assert sorted(file.name for file in (tmp_path / LOCKS).iterdir()) == ["id.lock", "other.lock"]


def test_looking_needs_no_folder_and_makes_none(tmp_path: Path) -> None:
    assert not is_held(tmp_path / "nowhere", "id")
    assert not list(tmp_path.iterdir())


def test_another_process_holds_it_until_it_is_killed(tmp_path: Path) -> None:
    with start_holder(tmp_path) as process:
        assert is_held(tmp_path, "id")
        with pytest.raises(RunBusy, match=f"process {process.pid} on "):
            hold(tmp_path, "id").__enter__()
        process.send_signal(signal.SIGKILL)
    assert (tmp_path / LOCKS / "id.json").is_file(), "the dead holder cleans up nothing"
    assert not is_held(tmp_path, "id")
    with hold(tmp_path, "id"):
        assert is_held(tmp_path, "id")


def test_someone_who_looks_does_not_keep_a_run_from_starting(tmp_path: Path) -> None:
    looking = f"from pathlib import Path\nfrom lnbench.records.lock import is_held\npath = Path({str(tmp_path)!r})\n"
    looking += "while True: is_held(path, 'id')"
    (tmp_path / LOCKS).mkdir()
    with subprocess.Popen([sys.executable, "-c", looking]) as process:
        try:
            time.sleep(0.5)
            for _ in range(20):
                with hold(tmp_path, "id"):
                    pass
        finally:
            process.kill()
