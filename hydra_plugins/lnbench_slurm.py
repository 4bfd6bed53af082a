"""A Slurm launcher, based on Hydra's submitit launcher if that is installed. Runs save their state before a requeue."""

import contextlib
import shutil
import signal
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
    """Handles SIGUSR2, Slurm's time-out signal, like Ctrl-C. Submitit requeues the job only afterwards."""
    requeue = signal.getsignal(signal.SIGUSR2)
    asked: list[FrameType | None] = []

    def stop(number: int, frame: FrameType | None) -> None:
        asked.append(frame)
        signal.raise_signal(signal.SIGINT)

    signal.signal(signal.SIGUSR2, stop)
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        if asked and callable(requeue):
            requeue(signal.SIGUSR2, asked[0])
        raise
    finally:
        signal.signal(signal.SIGUSR2, requeue)
