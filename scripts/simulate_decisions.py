"""Simulates experiments that run until they decide, and prints the table of docs/statistics.md.

python -m scripts.simulate_decisions
"""

import argparse
import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lnbench.arguments import whole_number
from lnbench.report.claims.looks import Counts, levels, looks
from lnbench.report.claims.nested import Cells, decisions, on_these_tasks

DEVIATIONS = np.array([2.42, 3.91, 1.33])
"""Standard deviations of paired differences on conll2004, sick and sst2, in points: sqrt(2) times the root mean square
of the standard deviations over seeds in the first table of docs/reproduction_v0_1.md."""
COMPARISONS, MOST_SEEDS, MARGIN, LEVEL = 25, 128, 1.0, 0.05
UNDECIDED = "not decided"
BATCH = 100
ENOUGH = 0.99
"""Share of right verdicts that counts as all: a fixed grid has errors of its own."""
GRID = range(4, MOST_SEEDS + 1, 4)
SECONDS = np.ones(len(DEVIATIONS))
"""Time of a pair on each task: all cost the same."""
Verdicts = NDArray[np.str_]


class World:
    """Differences of all comparisons on all tasks, of which more and more become known."""

    def __init__(self, values: NDArray[np.float64]) -> None:
        """Takes differences; the last two axes are tasks and seeds."""
        self.shape = values.shape[:-2]
        self._sums, self._squares = values.cumsum(axis=-1), (values**2).cumsum(axis=-1)

    def cells(self, counts: Counts) -> Cells:
        """The cells of the first pairs of each task."""
        places, count = counts[..., None] - 1, counts.astype(np.float64)
        mean = np.take_along_axis(self._sums, places, axis=-1)[..., 0] / count
        squares = np.take_along_axis(self._squares, places, axis=-1)[..., 0]
        return Cells(mean, (squares - count * mean**2) / (count - 1), count)

    def at(self, seeds: int, level: float) -> Verdicts:
        """The decisions with this number of seeds of each task, each of this error level."""
        cells = self.cells(np.full((*self.shape, len(DEVIATIONS)), seeds))
        return decisions(on_these_tasks(cells), level, MARGIN)


@dataclass(frozen=True)
class Result:
    """What became of the worlds with one true difference.

    Attributes:
        wrong: share of worlds with at least one wrong verdict.
        uncorrected: the same, if every look used the level of a single one.
        right: share of comparisons with the right verdict.
        seeds: mean number of seeds of a task until a decision, or the largest number.
        grid: smallest number of seeds, in steps of 4, for which a fixed grid has at least the same share of right
            verdicts, or `ENOUGH`; None if the largest number has less.
    """

    wrong: float
    uncorrected: float
    right: float
    seeds: float
    grid: int | None


def simulate(difference: float, worlds: int, seed: int = 0) -> Result:
    """Simulates families of comparisons, all of which have one true difference on every task.

    Args:
        difference: true difference, in points.
        worlds: number of families.
        seed: seed of the random numbers.
    """
    truth = "no difference that matters" if abs(difference) < MARGIN else "better"
    single = LEVEL / COMPARISONS
    wrong = uncorrected = right = used = 0.0
    fixed = np.zeros(len(GRID))
    for values in _worlds(difference, worlds, seed):
        world = World(values)
        verdict, seeds = _first(world, levels(LEVEL, COMPARISONS, MOST_SEEDS))
        naive, _ = _first(world, [single] * len(levels(LEVEL, COMPARISONS, MOST_SEEDS)))
        wrong += ((verdict != truth) & (verdict != UNDECIDED)).any(axis=1).sum()
        uncorrected += ((naive != truth) & (naive != UNDECIDED)).any(axis=1).sum()
        right += (verdict == truth).mean() * len(values)
        used += seeds.mean() * len(values)
        once = [(world.at(number, single) == truth).mean() * len(values) for number in GRID]
        fixed += np.array(once)
    enough = [number for number, share in zip(GRID, fixed, strict=True) if share >= min(right, ENOUGH * worlds)]
    return Result(wrong / worlds, uncorrected / worlds, right / worlds, used / worlds, enough[0] if enough else None)


def table(worlds: int) -> list[str]:
    """The lines of the table, in Markdown.

    Args:
        worlds: number of families for each true difference.
    """
    lines = [
        "| true difference, points | wrong, any of 25 | without correction | right verdicts | seeds "
        "| fixed grid, seeds | share |",
        "|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for difference in (0.0, 1.0, 2.0):
        found = simulate(difference, worlds)
        grid = f"more than {MOST_SEEDS}" if found.grid is None else str(found.grid)
        share = "-" if found.grid is None else f"{found.seeds / found.grid:.0%}"
        cells = (
            f"{found.wrong:.1%} | {found.uncorrected:.1%} | {found.right:.1%} | {found.seeds:.1f} | {grid} | {share}"
        )
        lines.append(f"| {difference:g} | {cells} |")
    return lines


def misses(seeds: int, level: float, draws: int) -> float:
    """How often an interval misses the true difference, divided by how often it may.

    Args:
        seeds: number of seeds of each task.
        level: error level of the interval.
        draws: number of intervals.
    """
    rng, missed = np.random.default_rng(0), 0
    for start in range(0, draws, 100_000):
        shape = min(100_000, draws - start), len(DEVIATIONS), seeds
        values = DEVIATIONS[:, None] * rng.standard_normal(shape)
        cells = Cells.of([values[:, task] for task in range(len(DEVIATIONS))])
        low, high = on_these_tasks(cells).interval(level)
        missed += int(((low > 0) | (high < 0)).sum())
    return missed / draws / level


def _worlds(difference: float, worlds: int, seed: int) -> Iterator[NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    for start in range(0, worlds, BATCH):
        shape = min(BATCH, worlds - start), COMPARISONS, len(DEVIATIONS), MOST_SEEDS
        yield difference + DEVIATIONS[:, None] * rng.standard_normal(shape)


def _first(world: World, of_looks: Sequence[float]) -> tuple[Verdicts, NDArray[np.float64]]:
    """The first decision of each comparison, and the mean number of seeds of a task at which it fell."""
    rule = looks(len(DEVIATIONS), MOST_SEEDS, world.shape)
    counts = next(rule)
    found, seeds = np.full(world.shape, UNDECIDED, dtype="<U30"), np.zeros(world.shape)
    for level in of_looks:
        cells = world.cells(counts)
        open_ = found == UNDECIDED
        seeds[open_] = counts.mean(axis=-1)[open_]
        found[open_] = decisions(on_these_tasks(cells), level, MARGIN)[open_]
        with contextlib.suppress(StopIteration):
            counts = rule.send((cells, SECONDS))
    return found, seeds


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--worlds", type=whole_number(1), default=2_000, help="number of families for each true difference"
    )
    options = parser.parse_args()
    print("\n".join(table(options.worlds)))
    level = levels(LEVEL, COMPARISONS, MOST_SEEDS)[0]
    for seeds in (3, 4, 6, 12):
        print(f"{seeds} seeds: an interval misses {misses(seeds, level, 1_000 * options.worlds):.2f} times its level")


if __name__ == "__main__":
    main()
