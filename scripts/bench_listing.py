"""Measures how long lists and reports of made-up finished runs take, including the start of the process.

python -m scripts.bench_listing --runs 10000

The runs are a grid of 20 methods, 10 tasks and as many seeds as needed. `first` is a list before anything is known of
the runs, the other lists come after it.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from itertools import product
from pathlib import Path
from statistics import median

from lnbench.config.compose import compose_config, to_plain
from lnbench.config.run import validate
from tests.records.many import finish

METHODS = ["ln", "bitfit", "lora", "adapter", "prefix", "mha_adapter", "houlsby", "prompt", "full", "head"]
METHODS = [*METHODS, *(f"ln+{name}" for name in METHODS[1:8]), "ln+mha_adapter+prefix", "ln+lora+prefix", "mam"]
TASKS = ["sst2", "mrpc", "rte", "sick", "boolq", "cb", "mnli", "qnli", "snli", "qqp"]


def main() -> None:
    """Prints the median and the range of each command's seconds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["LNBENCH_CACHE"] = f"{folder}/cache"
        runs = Path(folder) / "runs"
        _make(runs, options.runs)
        commands = {
            "list, first": ["lnbench.runs", str(runs)],
            "list": ["lnbench.runs", str(runs)],
            "list --json": ["lnbench.runs", str(runs), "--json"],
            "list, filtered": ["lnbench.runs", str(runs), "trainer.batch_size=32", "seed=1?"],
            "report": ["lnbench.report", str(runs)],
        }
        for name, command in commands.items():
            rounds = 1 if name == "list, first" else options.rounds
            seconds = [_time([sys.executable, "-m", *command]) for _ in range(rounds)]
            print(
                f"{options.runs:,} runs, {name}: median {median(seconds):.2f} s, "
                f"{min(seconds):.2f} to {max(seconds):.2f} s in {rounds} rounds",
                flush=True,
            )


def _make(runs_dir: Path, count: int) -> None:
    draw = random.Random(0)
    per_cell = -(-count // (len(METHODS) * len(TASKS)))
    for method, task in product(METHODS, TASKS):
        config = validate(to_plain(compose_config(f"runs_dir={runs_dir}", f"method={method}", f"task={task}")))
        level = draw.uniform(0.6, 0.9)
        for seed in range(per_cell):
            score = level + draw.gauss(0, 0.01)
            scores = {split: {"accuracy": score, "macro_f1": score} for split in ("validation", "test")}
            finish(config.model_copy(update={"seed": seed}), metrics=scores)


def _time(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
