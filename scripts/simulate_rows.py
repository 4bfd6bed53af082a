"""Simulates comparisons with new seeds and new test rows, and prints the second table of docs/statistics.md.

python -m scripts.simulate_rows
"""

import argparse
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from lnbench.arguments import whole_number
from lnbench.report.claims.difference import difference_of
from lnbench.report.claims.nested import Values, interval_with
from lnbench.report.claims.rows import Sample, noise_of_rows

EASE, OF_ROWS, OF_SEEDS = 0.8, 1.5, 0.08
"""Probit of the mean accuracy, and the deviations of the probits of rows and of seeds, which differ between methods."""
LEVEL = 0.05
SIDES = ("left", "right")
CASES = ((3, 1, 150), (3, 3, 150), (6, 2, 150), (6, 2, 1_000), (12, 3, 500))
"""Numbers of seeds, of tasks, and of test rows of each task."""


@dataclass(frozen=True)
class Coverage:
    """How often intervals have the true difference, which is 0.

    Attributes:
        with_rows: share of the intervals with other test rows.
        seeds_alone: share of the intervals on these tasks.
        share: mean share of the rows in the variance.
    """

    with_rows: float
    seeds_alone: float
    share: float


def coverage(seeds: int, tasks: int, rows: int, worlds: int) -> Coverage:
    """How often the intervals of 95% hold if each comparison has seeds and test rows of its own.

    A comparison whose pairs all differ by the same amount has no interval, and does not count.

    Args:
        seeds: number of seeds of each task.
        tasks: number of tasks.
        rows: number of test rows of each task.
        worlds: number of comparisons.
    """
    rng, found = np.random.default_rng(0), []
    for _ in range(worlds):
        pairs, samples = comparison(rng, seeds, tasks, rows)
        difference = difference_of(pairs)
        noise = noise_of_rows(pairs, difference, samples) if difference.here else None
        if difference.here is None or noise is None:
            continue
        both = interval_with(noise, difference.here, LEVEL), difference.here.interval(LEVEL)
        of_rows = noise.error**2 / (noise.error**2 + difference.here.error**2)
        found.append((*(low <= 0 <= high for low, high in both), of_rows))
    return Coverage(*np.mean(np.array(found, np.float64), axis=0).tolist())


def comparison(rng: np.random.Generator, seeds: int, tasks: int, rows: int) -> tuple[pd.DataFrame, dict[str, Sample]]:
    """The pairs of two methods that are equally good, and the samples of their runs by id.

    A row is harder for one method than for the other, by chance, and a seed better than another.
    """
    pairs, samples = list[dict[str, object]](), dict[str, Sample]()
    for task in (f"task {number}" for number in range(tasks)):
        hard = rng.normal(0, OF_ROWS, (2, 1, rows))
        chance = stats.norm.cdf(EASE + hard + rng.normal(0, OF_SEEDS, (2, seeds, 1)))
        right = (rng.random(chance.shape) < chance).astype(np.float64)
        for seed, both in enumerate(right.swapaxes(0, 1)):
            ids = {f"id_{side}": f"{side} {task} {seed}" for side in SIDES}
            samples |= {one: sample(own, task) for one, own in zip(ids.values(), both, strict=True)}
            difference = float(both[0].mean() - both[1].mean())
            pairs.append({"task": task, "model": "m", "setting": "", "difference": difference, **ids})
    return pd.DataFrame(pairs), samples


def sample(right: Values, task: str) -> Sample:
    """The sample of an accuracy, from right (1) and wrong (0) answers to the rows of a task."""
    return Sample(right, 1 / len(right), len(right), (task, "accuracy", len(right)), (task, "", ""))


def table(worlds: int) -> list[str]:
    """The rows of the table in docs/statistics.md."""
    lines = ["| seeds | tasks | test rows | with other test rows | on these tasks | share of the rows |"]
    lines.append("|" + "--:|" * 6)
    for seeds, tasks, rows in CASES:
        found = coverage(seeds, tasks, rows, worlds)
        shares = " | ".join(f"{share:.1%}" for share in (found.with_rows, found.seeds_alone))
        lines.append(f"| {seeds} | {tasks} | {rows:,} | {shares} | {found.share:.0%} |")
    return lines


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=whole_number(1), default=2_000, help="number of comparisons in each case")
    options = parser.parse_args()
    print("\n".join(table(options.worlds)))


if __name__ == "__main__":
    main()
