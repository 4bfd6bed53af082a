"""What the jobs of the tests do; imported by every one of their processes, so nothing slow is imported here."""

import ctypes
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from lnbench.config.compose import to_plain
from lnbench.config.run import validate
from lnbench.core.atomic_files import write_atomically
from lnbench.core.errors import INTERRUPTED
from lnbench.records.files import RECORD, RESUME
from lnbench.records.identity import run_dir
from lnbench.records.lock import RunBusy
from tests.waiting import wait_for


def tell(config: DictConfig) -> dict[str, Any]:
    """Tells where it runs."""
    print("printed", config.x)
    os.write(2, b"below Python\n")
    return {
        "pid": os.getpid(),
        "parent": os.getppid(),
        "threads_of_parent": len(os.listdir(f"/proc/{os.getppid()}/task")),
        "gpus": os.environ["CUDA_VISIBLE_DEVICES"],
        "job": (HydraConfig.get().job.num, HydraConfig.get().job.id),
        "mode": str(HydraConfig.get().mode),
        "x": config.x,
    }


def meet(config: DictConfig) -> str:
    """Ends when `count` jobs have met in `folder`, which they can only if all run at once."""
    (Path(config.folder) / str(config.x)).touch()
    wait_for(lambda: len(list(Path(config.folder).iterdir())) >= config.count)
    return os.environ["CUDA_VISIBLE_DEVICES"]


def break_down(config: DictConfig) -> Any:
    """Ends in the way that `x` names."""
    match config.x:
        case "raise":
            raise ValueError("first line\nsecond line")
        case "odd":
            raise OddError("one", "two")
        case "unpicklable":
            return threading.Lock()
        case "exit":
            os._exit(7)
        case "sys.exit":
            sys.exit(3)
        case "stop":
            os.kill(os.getpid(), signal.SIGTERM)
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "crash":
            ctypes.string_at(0)
    return 0.5


def busy_once(config: DictConfig) -> int:
    """Job 0 is busy the first time; all note their turn."""
    with (Path(config.folder) / "turns").open("a") as turns:
        turns.write(f"{config.x} ")
    if config.x == 0 and (Path(config.folder) / "turns").read_text() == "0 ":
        raise RunBusy("run 0 is being done by someone")
    return int(config.x)


def work(config: DictConfig) -> None:
    """Works until it is told to stop, and then saves; with `deaf` it goes on working."""
    folder = Path(config.folder)
    try:
        (folder / f"pid-{config.x}").write_text(str(os.getpid()))
        sleep()
    except KeyboardInterrupt:
        with (folder / f"saved-{config.x}").open("a") as saved:
            saved.write("once ")
        if not config.deaf:
            raise
    sleep()


def survive(config: DictConfig) -> str:
    """Tells its node in `folder/node` and goes on until the end of it; on another, returns it."""
    import ray

    node, told = ray.get_runtime_context().get_node_id(), Path(config.folder) / "node"
    if not told.exists():
        write_atomically(told, node)
        sleep()
    return node


def run_out_of_time(config: DictConfig) -> str:
    """Is told the first time that its time is up, and then saves; the second time, returns what it saved."""
    saved = Path(config.folder) / "saved"
    if saved.exists():
        return saved.read_text()
    try:
        os.kill(os.getpid(), signal.SIGUSR2)
        sleep()
    except KeyboardInterrupt:
        saved.write_text("state")
        sys.exit(INTERRUPTED)
    return "not told"


def leave(config: DictConfig) -> list[str]:
    """Leaves a checkpoint the first time, in a folder of its own, and then a record; returns what it found there."""
    run = validate(to_plain(config))
    folder = run_dir(run)
    print("in", config.runs_dir)
    found = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    if not found:
        write_atomically(folder / RESUME, b"state")
        sys.exit(INTERRUPTED)
    write_atomically(folder / RECORD, b"record")
    return found


def sleep() -> None:
    """Sleeps for a minute, in naps after each of which a signal can be answered."""
    for _ in range(1200):
        time.sleep(0.05)


class OddError(Exception):
    """Cannot be unpickled."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(one)
