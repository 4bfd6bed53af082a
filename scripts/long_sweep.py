"""Does one sweep of many tiny runs, kills it again and again, and measures what must not grow with the runs' number.

python -m scripts.long_sweep --runs 300 --kills 5
"""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
from rich.console import Console
from scipy.stats import theilslopes

from lnbench.records.files import RECORD
from lnbench.records.listing import find_runs
from tests import runs

SECONDS = 0.5
"""Seconds between two looks at the sweep."""
console = Console(highlight=False)


@dataclass
class Seen:
    """What was seen of a sweep.

    Attributes:
        ended: for each finished run, when its record was there, in seconds of sweeping.
        launcher: time in seconds of sweeping, start of the sweep, finished runs, the launcher's resident memory in
            bytes, its open descriptors, and its children.
    """

    ended: list[float] = field(default_factory=list)
    launcher: list[tuple[float, int, int, int, int, int]] = field(default_factory=list)


def main() -> None:
    """Prints the measurements; exits with status 1 if a run is not finished."""
    parser = argparse.ArgumentParser(prog="python -m scripts.long_sweep", description=__doc__)
    parser.add_argument("--runs", type=int, default=2000, help="number of runs (default: 2000)")
    parser.add_argument("--kills", type=int, default=10, help="number of SIGKILLs to the whole sweep (default: 10)")
    parser.add_argument("--slots", type=int, default=1, help="runs at a time (default: 1)")
    parser.add_argument("--plot", type=Path, help="file for a plot, .svg or .png")
    parser.add_argument("--seen", type=Path, help="file for what was seen, .json")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="long") as folder:
        seen, states = sweep(Path(folder), arguments.runs, arguments.kills, arguments.slots)
    if arguments.seen:
        arguments.seen.write_text(json.dumps({"ended": seen.ended, "launcher": seen.launcher}))
    report(seen)
    if arguments.plot:
        plot(seen, arguments.plot)
    console.print(f"{states.count('finished')} of {arguments.runs} runs are finished")
    sys.exit(states != ["finished"] * arguments.runs)


def sweep(folder: Path, count: int, kills: int, slots: int) -> tuple[Seen, list[str]]:
    """Does the sweep, with kills after equal numbers of runs.

    Args:
        folder: folder to work in.
        count: number of runs.
        kills: number of times that all processes of the sweep are killed.
        slots: runs at a time.

    Returns:
        What was seen, and the states of all runs.
    """
    source, data, runs_dir = (
        runs.save_model("bert", folder / "model"),
        runs.write_data(folder / "data"),
        folder / "runs",
    )
    settings = ["trainer.max_epochs=1", f"seed=range(0,{count})", f"hydra.launcher.cpu_slots={slots}"]
    command = [sys.executable, "-m", "lnbench", "-m", *runs.overrides(source, data, runs_dir), *settings]
    seen = Seen()
    before = 0.0
    for start in range(kills + 1):
        goal = count * (start + 1) // (kills + 1)
        process = subprocess.Popen(
            command, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        before += _watch(process, runs_dir, seen, before, start, goal if start < kills else count + 1)
        console.print(f"start {start + 1}: {len(seen.ended)} runs are finished after {before:.0f} s")
    return seen, [run.state for run in find_runs(runs_dir)]


def _watch(
    process: "subprocess.Popen[bytes]", runs_dir: Path, seen: Seen, before: float, start: int, goal: int
) -> float:
    """Looks at a sweep until it ends, or kills it when `goal` runs are finished; returns its seconds."""
    launcher, started = psutil.Process(process.pid), time.perf_counter()
    while process.poll() is None:
        now = before + time.perf_counter() - started
        finished = sum(1 for _ in runs_dir.glob(f"*/*/*/*/{RECORD}"))
        seen.ended += [now] * (finished - len(seen.ended))
        with contextlib.suppress(psutil.Error):
            memory, files = launcher.memory_info().rss, launcher.num_fds()
            family = launcher.children(recursive=True)
            seen.launcher.append((now, start, finished, memory, files, len(family)))
            if finished >= goal:
                for one in [launcher, *family]:
                    with contextlib.suppress(psutil.Error):
                        one.send_signal(signal.SIGKILL)
        time.sleep(SECONDS)
    process.wait()
    seconds = time.perf_counter() - started
    seen.ended += [before + seconds] * (sum(1 for _ in runs_dir.glob(f"*/*/*/*/{RECORD}")) - len(seen.ended))
    return seconds


def report(seen: Seen) -> None:
    """Prints the time a run, and the launcher's memory and descriptors, by tenths of the sweep."""
    ended = np.array(seen.ended)
    gaps = np.diff(ended, prepend=0)
    looks = np.array(seen.launcher)
    for part in np.array_split(np.arange(len(ended)), 10):
        if not len(part):
            continue
        during = looks[(looks[:, 2] >= part[0]) & (looks[:, 2] <= part[-1])]
        low, middle, high = np.quantile(gaps[part], [0.25, 0.5, 0.75])
        memory, files = (during[:, 3].max() / 2**20, during[:, 4].max()) if len(during) else (np.nan, np.nan)
        console.print(
            f"runs {part[0] + 1:>5} to {part[-1] + 1:>5}: {middle:5.2f} s a run [{low:.2f}, {high:.2f}], "
            f"launcher at most {memory:4.0f} MiB, {files:3.0f} descriptors"
        )
    slope, level, low, high = theilslopes(gaps)
    console.print(
        f"line through the times: {level:.2f} s, and for each run more {1000 * slope:+.2f} ms "
        f"[{1000 * low:.2f}, {1000 * high:.2f}]"
    )


def plot(seen: Seen, file: Path) -> None:
    """Draws the time a run and the launcher's memory against the run's number."""
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    looks = np.array(seen.launcher)
    gaps = np.diff(np.array(seen.ended), prepend=0)
    figure = make_subplots(rows=3, cols=1, shared_xaxes=True, vertical_spacing=0.06)
    figure.add_trace(
        go.Scatter(x=np.arange(1, len(gaps) + 1), y=gaps, mode="markers", marker={"size": 3}), row=1, col=1
    )
    figure.add_trace(go.Scatter(x=looks[:, 2], y=looks[:, 3] / 2**20, mode="markers", marker={"size": 3}), row=2, col=1)
    figure.add_trace(go.Scatter(x=looks[:, 2], y=looks[:, 4], mode="markers", marker={"size": 3}), row=3, col=1)
    for row, title in enumerate(("seconds a run", "launcher, MiB", "descriptors"), 1):
        figure.update_yaxes(title=title, rangemode="tozero", row=row, col=1)
    figure.update_yaxes(type="log", row=1, col=1)  # the first run after a kill takes long
    figure.update_xaxes(title="finished runs", row=3, col=1)
    figure.update_layout(showlegend=False, width=800, height=700, template="simple_white")
    figure.write_image(file)


if __name__ == "__main__":
    main()
