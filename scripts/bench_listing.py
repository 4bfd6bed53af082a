"""Measures how long `python -m lnbench.runs` takes on made-up finished runs, including the start of the process.

python scripts/bench_listing.py --runs 1000
"""

import argparse
import subprocess
import sys
import tempfile
import time
from statistics import median

from lnbench.config.compose import compose_config, to_plain
from lnbench.config.run import validate
from tests.records.many import finish_many


def main() -> None:
    """Prints the median and the range of several listings, as a table and as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        finish_many(validate(to_plain(compose_config(f"runs_dir={folder}"))), options.runs)
        for more in ([], ["--json"], ["trainer.batch_size=32", "seed=1?"]):
            seconds = [_time([sys.executable, "-m", "lnbench.runs", folder, *more]) for _ in range(options.rounds)]
            print(
                f"{options.runs:,} runs, {' '.join(more) or 'table'}: median {median(seconds):.2f} s, "
                f"{min(seconds):.2f} to {max(seconds):.2f} s in {options.rounds} rounds"
            )


def _time(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
