"""Works through what is missing of sweeps for as long as it is given, at low priority.

Each sweep is what one would type after `python -m lnbench`, in quotes. Every method gets its first seed on every task
of every sweep before any gets its second, and earlier sweeps come first, so that the tables are full as early as
possible. It may be stopped at any time, by Ctrl-C, SIGTERM or a power cut: the same command goes on.

python -m scripts.record_day --hours 8 "experiment=mini_main_nlu data_root=data" "experiment=mini_ablation_terms"
"""

import argparse
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from lnbench.core.errors import INTERRUPTED, DataError
from lnbench.core.schema import ConfigError
from lnbench.runs.missing import SweepRun, runs_of_sweep

NICENESS = 15
DONE = ("finished", "newer", "running")
"""States of runs that are left alone."""


def main() -> None:
    """Does the missing runs of the sweeps, one after the other, until the time is up."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sweeps", nargs="+", metavar="SWEEP", help="overrides of a sweep, in quotes")
    parser.add_argument("--hours", type=float, required=True, help="hours to work; then the last run saves its state")
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"), help="folder of the runs (default: runs)")
    options = parser.parse_args()
    try:
        jobs = in_order([runs_of_sweep(shlex.split(sweep), options.runs_dir) for sweep in options.sweeps])
    except (ConfigError, DataError) as error:
        sys.exit(str(error))
    os.nice(NICENESS)
    signal.signal(signal.SIGTERM, _stop)
    sys.exit(work(jobs, time.monotonic() + 3600 * options.hours))


def in_order(sweeps: Sequence[Sequence[SweepRun]]) -> list[SweepRun]:
    """The jobs that are to be done, each once, those that tell most first.

    Args:
        sweeps: jobs of each sweep.
    """
    jobs = {job.id: job for jobs in sweeps for job in jobs if job.state not in DONE}
    return sorted(jobs.values(), key=lambda job: int(job.title.rpartition(" ")[2]))


def work(jobs: Sequence[SweepRun], deadline: float) -> int:
    """Does jobs until a time by `time.monotonic`; returns the exit code: 0, or that of an interruption."""
    done = failed = 0
    for job in jobs:
        if time.monotonic() >= deadline:
            break
        print(f"{done + failed + 1}/{len(jobs)} {job.title}", flush=True)
        process = subprocess.Popen([sys.executable, *shlex.split(job.command)[1:]], stdout=subprocess.DEVNULL)
        try:
            code = process.wait(max(deadline - time.monotonic(), 0.0))
        except (KeyboardInterrupt, subprocess.TimeoutExpired) as stopped:
            process.send_signal(signal.SIGINT)  # the run saves its state, from which it goes on next time
            process.wait()
            if isinstance(stopped, KeyboardInterrupt):
                return _told(done, failed, jobs, INTERRUPTED)
            break
        if code == INTERRUPTED:
            return _told(done, failed, jobs, INTERRUPTED)
        done, failed = done + (code == 0), failed + (code != 0)
    return _told(done, failed, jobs, 0)


def _told(done: int, failed: int, jobs: Sequence[SweepRun], code: int) -> int:
    left = len(jobs) - done - failed
    print(f"{done} finished, {failed} failed, {left} left; the same command goes on, and lnbench.submit packs the runs")
    return code


def _stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
