"""Compares each method, as shipped, with a linear probe on the untouched model. No method should be worse.

python -m scripts.compare_probe --out rates --tasks sst2 sick acceptability --overrides data_root=data

A method is below the probe if it is so beyond the chance of the test rows: the upper end of the 95% interval of the
difference, by resampling the test rows (scipy's bootstrap, percentiles), is below 0.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap

from lnbench.core.atomic_files import write_atomically
from lnbench.records.files import PREDICTIONS
from lnbench.records.record import Record
from lnbench.tasks.base import Task
from scripts.rates.probe import probe
from scripts.rates.trials import Budget, add_options, attempt, together

FILE = "probe.json"
RESAMPLES = 500

Rows = list[dict[str, Any]]
"""Predictions on the test split, row by row."""


@dataclass(frozen=True)
class Against:
    """A method's test score, averaged over seeds, and its difference to the probe's; positive is better."""

    score: float
    difference: float
    low: float
    """Lower end of the 95% interval of the difference, over test rows."""
    high: float


@dataclass(frozen=True)
class Comparison:
    """Test scores on one task, in its metric."""

    task: str
    metric: str
    probe: float
    methods: dict[str, Against | None]
    """None if a run failed."""

    @property
    def losers(self) -> list[str]:
        """Methods that are worse than the probe, or failed."""
        return [method for method, one in self.methods.items() if one is None or one.high < 0]


def main() -> None:
    """Does all runs, and prints a line for each task."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    parser.add_argument("--test-rows", type=int, default=1000, help="largest number of test rows")
    parser.add_argument("--probe-rows", type=int, default=4000, help="largest number of training rows of the probe")
    options = parser.parse_args()
    budget = Budget.of(options)
    done = []
    for task in options.tasks:
        done.append(_compare(budget, task, options))
        write_atomically(options.out / FILE, json.dumps([asdict(one) for one in done], indent=2) + "\n")
    for one in done:
        print(f"\n{one.task}, {one.metric} on the test split; linear probe {one.probe:.3f}")
        for method, found in one.methods.items():
            print(f"  {method:22} {_told(found)}{'  below the probe' if method in one.losers else ''}")


def _told(found: Against | None) -> str:
    if found is None:
        return "failed"
    return f"{found.score:.3f}  {found.difference:+.3f} ({found.low:+.3f} to {found.high:+.3f})"


def _compare(budget: Budget, name: str, options: argparse.Namespace) -> Comparison:
    tested = ("test=true", f"++task.splits.test_limit={options.test_rows}")
    probed = (*tested, f"++task.splits.train_limit={options.probe_rows}", "trainer.precision=fp32")
    first = budget.configure("head", name, 0, *probed)
    task, reference = first.task, probe(first)
    methods: dict[str, Against | None] = {}
    for method in options.methods:
        found = [attempt(budget.configure(together(method), name, seed, *tested)) for seed in options.seeds]
        done = [record for record in found if record]
        methods[method] = against(task, reference, [*map(_rows, done)]) if len(done) == len(found) else None
    return Comparison(name, task.metric, task.score(reference)[task.metric], methods)


def against(task: Task, reference: Rows, seeds: Sequence[Rows]) -> Against:
    """Compares a method's predictions, those of each seed, with the probe's on the same test rows."""
    better = 1 if task.mode == "max" else -1

    def score(rows: Rows, drawn: Sequence[int]) -> float:
        return task.score([rows[place] for place in drawn])[task.metric]

    def difference(drawn: NDArray[np.int64]) -> float:
        places = drawn.tolist()
        return better * (fmean(score(rows, places) for rows in seeds) - score(reference, places))

    every = np.arange(len(reference))
    interval = bootstrap(
        (every,), difference, n_resamples=RESAMPLES, method="percentile", vectorized=False, rng=0
    ).confidence_interval
    mean = fmean(score(rows, every.tolist()) for rows in seeds)
    return Against(mean, difference(every), float(interval.low), float(interval.high))


def _rows(record: Record) -> Rows:
    with (record.folder / PREDICTIONS).open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


if __name__ == "__main__":
    main()
