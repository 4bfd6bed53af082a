"""What a person sees."""

import io
from pathlib import Path

import pytest
from hydra.core.utils import JobReturn, JobStatus
from rich.console import Console

from lnbench.core.errors import JobFailed
from lnbench.launch.display import Display
from lnbench.launch.job import STOPPED, Ended, Job, failed, number
from lnbench.records.lock import RunBusy

JOBS = number([["method=ln", "task=sst2"], ["method=bitfit", "task=sst2"], ["method=[x]", "task=sst2"]], first=4)


def show(terminal: bool) -> tuple[Display, io.StringIO]:
    """A display and what it writes."""
    file = io.StringIO()
    console = Console(file=file, force_terminal=terminal, width=160, color_system=None, highlight=False)
    return Display(console, total=3, logs=Path("runs/logs")), file


def end(display: Display, job: Job, result: object, seconds: float = 12.4) -> None:
    """Tells the display of a start and an end."""
    returned = failed(job, result) if isinstance(result, Exception) else JobReturn(status=JobStatus.COMPLETED)
    if not isinstance(result, Exception):
        returned.return_value = result
    display.started(job, "GPU 0")
    display.ended(Ended(job, returned, seconds, Path(f"runs/logs/{job.num}.log")), returned)


def test_without_a_terminal_there_is_a_line_for_each_job() -> None:
    display, file = show(terminal=False)
    with display:
        end(display, JOBS[0], 0.74312)
        end(display, JOBS[1], JobFailed("no memory\nmore", 1, "out of memory"))
        end(display, JOBS[2], None)
        display.refresh()
    assert file.getvalue().splitlines() == [
        "1/3 finished in 12 s: method=ln -> 0.7431",
        "2/3 failed after 12 s: method=bitfit: no memory (runs/logs/5.log)",
        "3/3 finished in 12 s: method=[x]",
    ]


def test_a_terminal_shows_what_is_running() -> None:
    display, file = show(terminal=True)
    with display:
        end(display, JOBS[0], 0.5, seconds=100)
        display.started(JOBS[1], "GPU 3")
        display.refresh()
    shown = file.getvalue()
    assert "1/3 finished in 100 s: method=ln -> 0.5000" in shown
    row = next(line for line in shown.splitlines() if "GPU 3" in line)
    assert row.replace("│", " ").split() == ["5", "method=bitfit", "GPU", "3", "0:00:00"]
    assert "1 finished, 0 failed, 1 waiting; about 0:03:20 left" in shown


@pytest.mark.parametrize("stopped", [False, True])
def test_the_end_lists_the_failures(stopped: bool) -> None:
    display, file = show(terminal=False)
    end(display, JOBS[0], 0.5)
    end(display, JOBS[1], JobFailed("no memory\nmore", 1, "out of memory"))
    end(display, JOBS[2], ZeroDivisionError("[oops]"))
    file.truncate(0)
    display.close(stopped)
    text = file.getvalue().lstrip("\0")
    assert text.startswith("1 finished, 2 failed in 0 s; their output is in runs/logs\n")
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines() if line.startswith("│")]
    assert rows == [
        ["method=bitfit", "out of memory", "no memory", "12", "5.log"],
        ["method=[x]", "ZeroDivisionError", "[oops]", "12", "6.log"],
    ]
    assert text.endswith("Stopped. The same command goes on with what is left.\n") is stopped


def test_a_stopped_job_has_not_failed() -> None:
    display, file = show(terminal=False)
    end(display, JOBS[0], JobFailed("stopped by a signal", 130, STOPPED))
    display.close(stopped=True)
    first, second, _ = file.getvalue().splitlines()
    assert first == "1/3 stopped after 12 s: method=ln"
    assert second.startswith("0 finished, 0 failed, 1 stopped in 0 s; ")


def test_a_skipped_job_has_neither_finished_nor_taken_time() -> None:
    display, file = show(terminal=True)
    display.skipped(JOBS[0], JobReturn(status=JobStatus.COMPLETED, _return_value=0.5))
    with display:
        display.started(JOBS[1], "GPU 0")
    display.close(stopped=False)
    shown = file.getvalue()
    assert shown.startswith("1/3 skipped, finished before: method=ln -> 0.5000\n")
    assert "0 finished, 0 failed, 1 skipped, 1 waiting\n" in shown
    assert "0 finished, 0 failed, 1 skipped in 0 s; " in shown


def test_a_busy_job_is_told_once() -> None:
    display, file = show(terminal=False)
    for _ in range(2):
        display.started(JOBS[0], "GPU 0")
        display.deferred(JOBS[0], RunBusy("run 1 is being done by someone"))
    assert file.getvalue() == "tried again later: method=ln: run 1 is being done by someone\n"


def test_jobs_are_called_by_what_differs() -> None:
    assert [(job.num, job.title) for job in JOBS] == [(4, "method=ln"), (5, "method=bitfit"), (6, "method=[x]")]
    assert number([["a=1", "hydra.x=2"]], first=0)[0].title == "a=1"
    assert [job.title for job in number([["a=1"], ["a=1"]], first=0)] == ["job 0", "job 1"]
