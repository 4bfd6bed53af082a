"""Measures the time of a run before its first training step, alone and in a sweep.

python -m scripts.bench_startup
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time

from rich.console import Console
from rich.table import Table

FIRST_STEP = """
import time
from lnbench.__main__ import main
from lnbench.training.callbacks.stopwatch import Stopwatch
Stopwatch.on_train_batch_end = lambda *_: print("first step", time.time())
main()
"""
"""Program that runs the command line, and prints the time of the first training step's end."""
ONE_STEP = ["method=ln", "trainer.max_steps=1", "trainer.progress=false", "test=false", "rerun=true"]
ONE_STEP += ["++task.splits.validation_limit=64"]


def main() -> None:
    """Prints the medians of several repetitions."""
    parser = argparse.ArgumentParser(prog="python -m scripts.bench_startup", description=__doc__)
    parser.add_argument("--repeat", type=int, default=5, help="number of repetitions (default: 5)")
    parser.add_argument("--runs", type=int, default=6, help="number of runs of the sweep (default: 6)")
    arguments = parser.parse_args()
    table = Table("from", "to", "median s", "smallest s", "largest s", title="Start-up, MiniLM on tweets, caches warm")
    with tempfile.TemporaryDirectory() as folder:
        command = [*ONE_STEP, f"runs_dir={folder}"]
        alone(command)
        rows = {
            ("start of the process", "end of the first step"): [alone(command) for _ in range(arguments.repeat)],
            ("start of a run in a sweep", "start of the next"): [
                in_sweep(command, arguments.runs) for _ in range(arguments.repeat)
            ],
        }
    for (start, end), seconds in rows.items():
        values = statistics.median(seconds), min(seconds), max(seconds)
        table.add_row(start, end, *(f"{value:.1f}" for value in values))
    Console().print(table)


def alone(command: list[str]) -> float:
    """Seconds from the start of a process to the end of its first training step."""
    started = time.time()
    output = subprocess.run([sys.executable, "-c", FIRST_STEP, *command], check=True, capture_output=True, text=True)
    (line,) = [line for line in output.stdout.splitlines() if line.startswith("first step")]
    return float(line.split()[-1]) - started


def in_sweep(command: list[str], runs: int) -> float:
    """Seconds that each further run of one step, with its validation, adds to a sweep."""
    return (_sweep(command, runs) - _sweep(command, 2)) / (runs - 2)


def _sweep(command: list[str], runs: int) -> float:
    started = time.perf_counter()
    seeds = f"seed={','.join(map(str, range(runs)))}"
    subprocess.run([sys.executable, "-m", "lnbench", "-m", *command, seeds], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
