"""Compares each method, as shipped, with a linear probe on the untouched model. No method should be worse.

python -m scripts.compare_probe --out rates --tasks sst2 sick acceptability --overrides data_root=data
"""

import argparse
import json
from dataclasses import asdict, dataclass
from statistics import fmean

from lnbench.core.atomic_files import write_atomically
from scripts.rates.probe import probe
from scripts.rates.trials import HEAD, Budget, add_options, attempt

FILE = "probe.json"


@dataclass(frozen=True)
class Comparison:
    """Test scores on one task, in its metric."""

    task: str
    metric: str
    probe: float
    methods: dict[str, float | None]
    """Means over seeds; None if a run failed."""
    losers: list[str]
    """Methods that are worse than the probe, or failed."""


def main() -> None:
    """Does all runs, and prints a line for each task."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    parser.add_argument("--test-rows", type=int, default=1000, help="most rows to test on")
    parser.add_argument("--probe-rows", type=int, default=4000, help="most training rows of the probe")
    options = parser.parse_args()
    budget = Budget.of(options)
    done = []
    for task in options.tasks:
        done.append(_compare(budget, task, options))
        write_atomically(options.out / FILE, json.dumps([asdict(one) for one in done], indent=2) + "\n")
    for one in done:
        print(f"\n{one.task}, {one.metric} on the test split; linear probe {one.probe:.3f}")
        for method, score in one.methods.items():
            told = "failed" if score is None else f"{score:.3f}  {score - one.probe:+.3f}"
            print(f"  {method:22} {told}{'  below the probe' if method in one.losers else ''}")


def _compare(budget: Budget, task: str, options: argparse.Namespace) -> Comparison:
    tested = ("test=true", f"++task.splits.test_limit={options.test_rows}")
    probed = (*tested, f"++task.splits.train_limit={options.probe_rows}", "trainer.precision=fp32")
    first = budget.configure(HEAD, task, 0, *probed)
    better = 1 if first.task.mode == "max" else -1
    reference = probe(first)
    scores: dict[str, float | None] = {}
    for method in options.methods:
        records = [attempt(budget.configure(method, task, seed, *tested)) for seed in options.seeds]
        found = [record.metrics["test"][first.task.metric] for record in records if record]
        scores[method] = fmean(found) if len(found) == len(records) else None
    losers = [method for method, score in scores.items() if score is None or better * (score - reference) < 0]
    return Comparison(task, first.task.metric, reference, scores, losers)


if __name__ == "__main__":
    main()
