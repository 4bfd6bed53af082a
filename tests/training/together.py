"""Work for processes that are quick to start: what they do when something goes wrong."""

import os
import signal
import time
from pathlib import Path

from torch import distributed

from lnbench.core.schema import ConfigError


def fail_in(rank: int, killed_by: signal.Signals | None) -> None:
    """One process fails, while the other waits for it."""
    if distributed.get_rank() != rank:
        distributed.barrier()
    if killed_by:
        os.kill(os.getpid(), killed_by)
    raise ConfigError("seed = 7: is unlucky")


def wait_for_signal(folder: Path) -> None:
    """Says that it is there, and then does nothing."""
    (folder / str(distributed.get_rank())).touch()
    time.sleep(60)
