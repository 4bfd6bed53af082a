"""Starts processes from one that has imported what they need, because imports take most of the time of a start."""

import atexit
import os
import runpy
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from multiprocessing import forkserver, resource_tracker, util
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any
from unittest import mock

from hydra.core.utils import env_override

from lnbench.launch.local.fork_server import QUIET

MODULES = ["lnbench.cli", "lnbench.launch.child", "lnbench.run.lifecycle", "lnbench.run.execute", "sklearn.metrics"]
MODULES += ["lnbench.report.claims", "lnbench.run.sharded", "pytest", "tests.runs"]
ROOT = Path(__file__).parents[1]
SERVER = forkserver.ForkServer()
SERVER.set_forkserver_preload(MODULES)
_spawn: Any = util.spawnv_passfds


class Forked(ForkServerProcess):
    """A process that is forked from `SERVER`."""

    @staticmethod
    def _Popen(process_obj: Any) -> Any:  # noqa: N802
        alone = env_override({**QUIET, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)})
        with alone, mock.patch.object(forkserver, "connect_to_new_process", SERVER.connect_to_new_process):
            return ForkServerProcess._Popen(process_obj)


class Forking(ForkServerContext):
    """What `multiprocessing.get_context` gives, but that processes come from `SERVER`, which starts with the first one.

    A process writes to what was stderr then, so a test cannot capture that.
    """

    Process = Forked


class Program:
    """A command in a process of its own, used like `subprocess.Popen`.

    All is as when Python starts it, but that it has imported what it needs. So have the processes that its
    `multiprocessing` starts.
    """

    def __init__(
        self,
        command: Sequence[str],
        env: Mapping[str, str],
        cwd: Path | None = None,
        stdout: Path | None = None,
        stderr: Path | None = None,
    ) -> None:
        """Starts it.

        Args:
            command: `[sys.executable, "-m", module, *arguments]`.
            env: all environment variables.
            cwd: None: the folder of this process.
            stdout: file to write; None: nowhere.
            stderr: the same.
        """
        python, option, module, *arguments = command
        assert (python, option) == (sys.executable, "-m")
        files = [str(file or os.devnull) for file in (stdout, stderr)]
        self.process = Forked(target=_run, args=(module, arguments, dict(env), str(cwd or Path.cwd()), files))
        self.process.start()
        assert self.process.pid
        self.pid = self.process.pid

    def poll(self) -> int | None:
        """The exit code, or the negative number of the signal that killed it; None while it runs."""
        return self.process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """The same, when it has ended, which it must do within `timeout` seconds."""
        self.process.join(timeout)
        assert self.process.exitcode is not None
        return self.process.exitcode

    def send_signal(self, number: signal.Signals) -> None:
        """Sends a signal, if it still runs."""
        if self.process.is_alive():
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Ends it at once."""
        self.send_signal(signal.SIGKILL)


def _run(module: str, arguments: Sequence[str], env: Mapping[str, str], cwd: str, files: Sequence[str]) -> None:
    for number, name in enumerate(files, start=1):
        file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(file, number)
        os.close(file)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    sys.argv[1:] = arguments
    resource_tracker._resource_tracker._fd = None  # type: ignore[attr-defined]
    util.spawnv_passfds = _fork  # type: ignore[assignment]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        atexit._run_exitfuncs()


def _fork(path: str, words: Sequence[str], kept: Sequence[int]) -> int:
    """Starts Python with the code in `words`, as `multiprocessing` does, but by a fork.

    Args:
        path: of Python.
        words: the command.
        kept: files that stay open.
    """
    place = words.index("-c")
    if "resource_tracker" in words[place + 1]:
        pid: int = _spawn(path, words, kept)
        return pid
    assert threading.active_count() == 1, "others would be missing after the fork"
    if pid := os.fork():
        return pid
    code: Any = 1
    try:
        _close_all_but(kept)
        forkserver._forkserver._lock = threading.Lock()  # type: ignore[attr-defined]
        sys.argv = ["-c", *words[place + 2 :]]
        exec(words[place + 1], {})
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(code)


def _close_all_but(kept: Sequence[int]) -> None:
    """Closes files, and keeps their numbers from those opened later, which whoever opened the former would close."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in map(int, os.listdir("/proc/self/fd")):
        if number > 2 and number not in (nothing, *kept):
            os.dup2(nothing, number, inheritable=False)
