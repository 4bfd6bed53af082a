"""A Slurm launcher, based on Hydra's submitit launcher if that is installed. Runs save their state before a requeue."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from types import FrameType
from typing import Any

from hydra.core.utils import JobReturn

with contextlib.suppress(ImportError):
    from hydra_plugins.hydra_submitit_launcher import submitit_launcher  # type: ignore[import-untyped]

    class SlurmLauncher(submitit_launcher.SlurmLauncher):  # type: ignore[misc]
        """Runs jobs with Slurm, each as one job of an array."""

        def setup(self, **context: Any) -> None:
            """Checks for Slurm and stores the settings. Hydra calls this first.

            Raises:
                ConfigError: this machine has no Slurm.
            """
            from lnbench.core.schema import ConfigError

            if self._EXECUTOR == "slurm" and shutil.which("srun") is None:
                raise ConfigError("hydra/launcher = 'slurm': there is no Slurm here; no srun is found")
            super().setup(**context)

        def __call__(self, *args: Any, **kwargs: Any) -> JobReturn:
            """Does one job, in a process that submitit has started."""
            with saved_before_requeue():
                returned: JobReturn = super().__call__(*args, **kwargs)
                return returned


@contextlib.contextmanager
def saved_before_requeue() -> Iterator[None]:
    """Requeues a job only after its run has saved its state.

    Slurm sends SIGUSR2 when the time is up, at which submitit would requeue at once. When another job preempts this
    one, Slurm sends SIGTERM, at which submitit does nothing. Both stop the run like Ctrl-C.
    """
    requeue = signal.getsignal(signal.SIGUSR2)
    asked: list[FrameType | None] = []

    def stop(number: int, frame: FrameType | None) -> None:
        asked.append(frame)
        signal.raise_signal(signal.SIGINT)

    signal.signal(signal.SIGUSR2, stop)
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        if callable(requeue) and (asked or _is_preempted()):
            requeue(signal.SIGUSR2, asked[0] if asked else None)
        raise
    finally:
        signal.signal(signal.SIGUSR2, requeue)


def _is_preempted() -> bool:
    """Whether Slurm takes the nodes of this job for another job, and has given it time to end."""
    job = os.environ.get("SLURM_JOB_ID")
    if job is None:
        return False
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        told = subprocess.run(["scontrol", "show", "job", job], capture_output=True, text=True, timeout=30).stdout
        when = re.search(r"\bPreemptTime=(\S+)", told)
        return when is not None and when[1] != "None"
    return False
