"""Measures a short run of classification with many labels: time, memory, the size of what it leaves, and its report.

python -m scripts.bench_labels
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
from rich.console import Console

from tests import runs

ROWS_PER_LABEL = 3
console = Console(highlight=False)


def main() -> None:
    """Prints one row for each number of labels, each measured in a process of its own."""
    parser = argparse.ArgumentParser(prog="python -m scripts.bench_labels", description=__doc__)
    parser.add_argument("--labels", type=int, nargs="+", default=[100, 1_000, 10_000], metavar="N")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        _measure(arguments.measure)
        return
    console.print(
        "labels, rows: seconds of a run, peak of memory in MB, bytes of a prediction, KB of the record, report"
    )
    for labels in arguments.labels:
        with tempfile.TemporaryDirectory(prefix="labels") as name:
            folder = Path(name)
            runs.save_model("bert", folder / "model")
            rows = labels * ROWS_PER_LABEL
            texts = [f"{runs.FILLERS[row % 5]} film {row}" for row in range(rows)]
            pd.DataFrame({"text": texts, "label": [f"class {row % labels}" for row in range(rows)]}).to_csv(
                folder / "train.csv", index=False
            )
            command = [sys.executable, "-m", "scripts.bench_labels", "--measure", str(folder)]
            output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            started = time.perf_counter()
            report = [sys.executable, "-m", "lnbench.report", str(folder / "runs")]
            subprocess.run(report, check=True, stdout=subprocess.DEVNULL)
        reported = time.perf_counter() - started
        console.print(f"{labels:>6,} {rows:>7,}: {output.splitlines()[-1]} {reported:.1f}")


def _measure(folder: Path) -> None:
    """Does a run, and prints its seconds, the peak of memory over the start in MB, and the sizes of its files."""
    from lnbench.config.compose import compose_config, to_plain
    from lnbench.config.run import validate
    from lnbench.records.environment import peak_resident_bytes
    from lnbench.records.files import PREDICTIONS, RECORD
    from lnbench.records.identity import run_dir
    from lnbench.run.lifecycle import run

    overrides = [
        "task=csv",
        "task.max_length=16",
        f"task.path={folder / 'train.csv'}",
        "model.name=tiny",
        "method=ln",
        *runs.SHORT,
    ]
    paths = {"model.source": folder / "model", "cache_dir": folder / "cache", "runs_dir": folder / "runs"}
    overrides += [f"{key}={path}" for key, path in paths.items()]
    config = validate(to_plain(compose_config(*overrides, "trainer.max_steps=20")))
    before, started = peak_resident_bytes(), time.perf_counter()
    run(config)
    seconds = time.perf_counter() - started
    peak = (peak_resident_bytes() - before) / 2**20
    lines = (run_dir(config) / PREDICTIONS).read_text().splitlines()
    prediction = sum(map(len, lines)) / len(lines)
    size = (run_dir(config) / RECORD).stat().st_size / 1e3
    print(f"{seconds:.1f} {peak:,.0f} {prediction:,.0f} {size:,.0f}")


if __name__ == "__main__":
    main()
