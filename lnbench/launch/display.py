"""The terminal output of a launch: a line as each job ends, a live table on a terminal, and the failures at the end."""

import time
from datetime import timedelta
from pathlib import Path

from hydra.core.utils import JobReturn
from rich.console import Console, Group
from rich.live import Live
from rich.table import Column, Table
from rich.text import Text

from lnbench.core.errors import JobFailed
from lnbench.core.words import number_of
from lnbench.launch.job import STOPPED, Ended, Job, error_of, value_of
from lnbench.records.lock import RunBusy


class Display:
    """Shows the progress of a launch. As a context manager, it shows the running jobs live on a terminal."""

    def __init__(self, console: Console, total: int, logs: Path) -> None:
        """
        Args:
            console: console to print to.
            total: number of jobs.
            logs: folder of the jobs' log files.
        """
        self._console, self._total, self._logs = console, total, logs
        self._running: dict[Job, tuple[str, float]] = {}
        self._seconds: list[float] = []
        self._failures: list[tuple[Ended, Exception]] = []
        self._stopped = self._skipped = self._not_started = 0
        self._told_busy: set[Job] = set()
        self._start = time.monotonic()
        self._live = Live(console=console, auto_refresh=False, transient=True, get_renderable=self._view)

    def __enter__(self) -> "Display":
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def started(self, job: Job, place: str) -> None:
        """Shows that a job has been started."""
        self._running[job] = place, time.monotonic()

    def skipped(self, job: Job, returned: JobReturn) -> None:
        """Shows that a job need not run."""
        self._skipped += 1
        self._print(f"{self._done}/{self._total} skipped, finished before: {job.title}{_arrow(value_of(returned))}")

    def ended(self, ended: Ended, returned: JobReturn) -> None:
        """Shows that a job has ended, successfully or not."""
        del self._running[ended.job]
        self._seconds.append(ended.seconds)
        line = f"{self._done}/{self._total} {{}} {ended.seconds:.0f} s: {ended.job.title}"
        if (error := error_of(returned)) is None:
            self._print(line.format("finished in") + _arrow(value_of(returned)))
        elif _cause(error) == STOPPED:
            self._stopped += 1
            self._print(line.format("stopped after"))
        else:
            self._failures.append((ended, error))
            self._print(line.format("failed after") + f": {_message(error)} ({ended.log})", "red")

    def deferred(self, job: Job, busy: RunBusy) -> None:
        """Shows that another process is doing a job, which will be tried again."""
        del self._running[job]
        if job not in self._told_busy:
            self._told_busy.add(job)
            self._print(f"tried again later: {job.title}: {busy}")

    def stopping(self, running: int) -> None:
        """Shows that no more jobs will be started, because someone asked to stop."""
        self._print(f"Stopping. {number_of(running, 'running job')} will save the state first. Ctrl-C again: at once.")

    def given_up(self, left: int, running: int) -> None:
        """Shows that no more jobs will be started, because a job has failed."""
        self._not_started += left
        if left:
            self._print(
                f"hydra.launcher.stop_at_failure: not started: {number_of(left, 'job')}; still running: {running}."
            )

    def refresh(self) -> None:
        """Updates the elapsed times."""
        if self._live.is_started:
            self._live.refresh()

    def close(self, stopped: bool) -> None:
        """Prints a summary of all jobs.

        Args:
            stopped: whether someone asked to stop before all jobs had run.
        """
        seconds = time.monotonic() - self._start
        self._print(f"{self._counts()} in {seconds:.0f} s; their output is in {self._logs}")
        if self._failures:
            self._console.print(_failures(self._failures))
        if stopped:
            self._print("Stopped. The same command goes on with what is left.")

    @property
    def _done(self) -> int:
        """Number of jobs that are finished, skipped or failed."""
        return len(self._seconds) + self._skipped

    def _print(self, line: str, style: str = "") -> None:
        self._console.print(Text(line, style), soft_wrap=True)

    def _counts(self) -> str:
        failed, stopped = len(self._failures), self._stopped
        counts = [f"{len(self._seconds) - failed - stopped} finished", f"{failed} failed"]
        optional = {"stopped": stopped, "skipped": self._skipped, "not started": self._not_started}
        return ", ".join(counts + [f"{count} {name}" for name, count in optional.items() if count])

    def _view(self) -> Group:
        waiting = self._total - self._done - self._not_started - len(self._running)
        table = Table("job", "overrides", "on", "for")
        for job, (place, started) in self._running.items():
            table.add_row(str(job.num), Text(job.title), place, _clock(time.monotonic() - started))
        return Group(table, f"{self._counts()}, {waiting} waiting{self._remaining(waiting)}")

    def _remaining(self, waiting: int) -> str:
        if not self._seconds:
            return ""
        mean, now = sum(self._seconds) / len(self._seconds), time.monotonic()
        running = sum(max(0, mean - (now - started)) for _, started in self._running.values())
        return f"; about {_clock((waiting * mean + running) / max(1, len(self._running)))} left"


def _failures(failures: list[tuple[Ended, Exception]]) -> Table:
    table = Table("overrides", "cause", "message", "seconds", Column("log", no_wrap=True), title="Failed")
    for ended, error in failures:
        cells = ended.job.title, _cause(error), _message(error), f"{ended.seconds:.0f}", ended.log.name
        table.add_row(*map(Text, cells))
    return table


def _cause(error: Exception) -> str:
    return error.cause if isinstance(error, JobFailed) else type(error).__name__


def _message(error: Exception) -> str:
    """First line of the error's message."""
    return str(error).partition("\n")[0]


def _arrow(value: object) -> str:
    if value is None:
        return ""
    return f" -> {value:.4f}" if isinstance(value, float) else f" -> {value}"


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
