"""Log files with the stdout and stderr of jobs."""

from datetime import datetime
from pathlib import Path

from lnbench.launch.job import Job


class Logs:
    """The log files of a launch, in a folder that may contain those of other launches."""

    def __init__(self, folder: Path) -> None:
        """Creates the folder."""
        folder.mkdir(parents=True, exist_ok=True)
        self._prefix = folder.absolute() / datetime.now().strftime("%Y%m%d-%H%M%S")

    def of(self, job: Job) -> Path:
        """The log file of a job."""
        return self.named(str(job.num))

    def named(self, name: str) -> Path:
        """The log file of something other than a job."""
        return self._prefix.with_name(f"{self._prefix.name}-{name}.log")
