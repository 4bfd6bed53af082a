"""Measures the memory and the time that a data set of generated texts needs until it is tokenised.

python -m scripts.bench_reading
"""

import argparse
import subprocess
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path
from threading import Event, Thread

import numpy as np
from rich.console import Console

WORDS = 12
"""Words of a text, on average."""
console = Console(highlight=False)


def main() -> None:
    """Prints one row for each number of rows, each measured in a process of its own."""
    parser = argparse.ArgumentParser(prog="python -m scripts.bench_reading", description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[50_000, 500_000], metavar="N")
    parser.add_argument("--suffix", default=".jsonl", choices=[".csv", ".jsonl", ".parquet"], help="type of the file")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        _measure(arguments.measure)
        return
    console.print("rows: MB of the file, MB kept, MB at the peak, bytes a row at the peak, seconds")
    for rows in arguments.rows:
        with tempfile.TemporaryDirectory(prefix="reading") as folder:
            file = _write(Path(folder) / f"train{arguments.suffix}", rows)
            command = [sys.executable, "-m", "scripts.bench_reading", "--measure", str(file)]
            output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            kept, peak, seconds = map(float, output.split()[-3:])
            size = file.stat().st_size
        numbers = " ".join(f"{number:,.0f}" for number in (size / 1e6, kept / 1e6, peak / 1e6, peak / rows))
        console.print(f"{rows:>9,}: {numbers} {seconds:.1f}")


def _write(file: Path, rows: int) -> Path:
    """Writes texts of random words, each with one of two labels."""
    import pandas as pd

    rng = np.random.default_rng(0)
    parts = []
    words = np.array([f"word{number}" for number in range(20_000)])
    for start in range(0, rows, 100_000):
        count = min(100_000, rows - start)
        lengths = rng.integers(WORDS // 2, WORDS * 3 // 2, count)
        chosen = np.split(words[rng.integers(len(words), size=lengths.sum())], lengths.cumsum()[:-1])
        labels = rng.integers(2, size=count)
        parts.append(pd.DataFrame({"sentence": [" ".join(text) for text in chosen], "label": labels}))
    frame = pd.concat(parts)
    if file.suffix == ".parquet":
        frame.to_parquet(file, index=False)
    elif file.suffix == ".csv":
        frame.to_csv(file, index=False)
    else:
        frame.to_json(file, orient="records", lines=True)
    return file


def _measure(file: Path) -> None:
    """Prints the memory in bytes that the loaded data keeps and the peak, both over the start, and the seconds.

    Pages of files do not count. The system drops them when it needs their memory.

    The file is read twice, as in a run: first for the labels.
    """
    from lnbench.backbone.loading import load_tokenizer
    from lnbench.config.compose import compose_config, to_plain
    from lnbench.config.run import validate
    from lnbench.tasks.data.load import load_data

    tokenizer = load_tokenizer(validate(to_plain(compose_config("task=tweets"))).model)
    tokenizer("warm")
    import_module("sklearn.metrics")  # what scores the baseline takes 50 MB for any number of rows
    before, started, peak = memory(), time.perf_counter(), Peak()
    peak.start()
    overrides = ["task=csv", "task.text=sentence", "task.label=label", f"task.path={file}"]
    config = validate(to_plain(compose_config(*overrides)))
    data = load_data(config.task, tokenizer, cache_dir=file.parent / "cache")
    seconds, kept = time.perf_counter() - started, memory() - before
    print(kept, peak.stop() - before, seconds, data and "")


class Peak(Thread):
    """Notes the highest memory of this process, a hundred times a second."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._ended = Event()
        self._most = 0

    def run(self) -> None:
        """Notes it until `stop` is called."""
        while not self._ended.wait(0.01):
            self._most = max(self._most, memory())

    def stop(self) -> int:
        """The highest memory in bytes."""
        self._ended.set()
        self.join()
        return self._most


def memory() -> int:
    """Bytes of memory that are not pages of files."""
    import psutil

    about = psutil.Process().memory_info()
    return int(about.rss - about.shared)


if __name__ == "__main__":
    main()
