"""Measures how long lists and reports of made-up finished runs take, including the start of the process.

python -m scripts.bench_listing --runs 10000
python -m scripts.bench_listing --runs 10000 --report
python -m scripts.bench_listing --runs 10000 --report --packed

The runs are a grid of 25 methods, 10 tasks and as many seeds as needed. `first` is a command before anything is known
of the runs, the others come after it. Peaks of memory are those of the process.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from scripts.listing.made_up import make_runs


def main() -> None:
    """Prints the median and the range of each command's seconds, its processor time, and its peak of memory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--report", action="store_true", help="measure the report alone")
    parser.add_argument("--packed", action="store_true", help="pack the runs of each task into a file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["LNBENCH_CACHE"] = f"{folder}/cache"
        runs = Path(folder) / "runs"
        make_runs(runs, options.runs, options.packed)
        for name, command in _commands(runs, options.report).items():
            rounds = 1 if "first" in name else options.rounds
            measured = [measure([sys.executable, "-m", *command]) for _ in range(rounds)]
            seconds, processor, peaks = zip(*measured, strict=True)
            print(
                f"{options.runs:,} runs, {name}: median {median(seconds):.2f} s, "
                f"{min(seconds):.2f} to {max(seconds):.2f} s in {rounds} rounds; "
                f"processor {median(processor):.2f} s; {max(peaks) / 2**20:,.0f} MiB",
                flush=True,
            )


def measure(command: list[str]) -> tuple[float, float, int]:
    """Seconds of one command, its processor time in seconds, and its peak of memory in bytes.

    Raises:
        OSError: the command fails.
    """
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise OSError(f"{' '.join(command)}: fails with {process.returncode}")
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024


def _commands(runs: Path, report: bool) -> dict[str, list[str]]:
    reports = {name: ["lnbench.report", str(runs), "--out", f"{runs}-report"] for name in ("report, first", "report")}
    lists = {
        "list, first": ["lnbench.runs", str(runs)],
        "list": ["lnbench.runs", str(runs)],
        "list --json": ["lnbench.runs", str(runs), "--json"],
        "list, filtered": ["lnbench.runs", str(runs), "trainer.batch_size=32", "seed=1?"],
    }
    return reports if report else {**lists, "report": reports["report"]}


if __name__ == "__main__":
    main()
