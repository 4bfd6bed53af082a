"""Compares the test scores of runs in bf16 with those of the same runs in fp32.

It does both sweeps. They differ in `trainer.precision` only, so each run in bf16 has a partner of the same task and
seed. The difference does not matter if its interval is within the margin: two one-sided tests at a level of 5%, on
these tasks, see docs/statistics.md.

python -m scripts.compare_precision --tasks sst2 sick conll2004 --seeds 5 method=ln data_root=data
"""

import argparse
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from lnbench.arguments import number_between, whole_number
from lnbench.config.overrides import OVERRIDE
from lnbench.records.packed import LEVELS
from lnbench.records.record import Record
from lnbench.report.claims.nested import LEAST_SEEDS, Cells, decisions, on_these_tasks
from lnbench.report.load import load_runs
from lnbench.runs.missing import runs_of_sweep
from lnbench.tasks.scores.metric import metric_of

PRECISIONS = ("bf16", "fp32")
LEVEL = 0.05
Scores = Mapping[tuple[str, int], float]
"""Test scores by task and seed."""


def main() -> None:
    """Does the runs, and prints the differences; exits with status 1 if they may matter."""
    options = _options()
    tasks, seeds = ",".join(options.tasks), ",".join(map(str, range(options.seeds)))
    words = [f"task={tasks}", f"seed={seeds}", *options.overrides]
    records: dict[str, list[Record]] = {}
    for precision in PRECISIONS:
        sweep = [*words, f"trainer.precision={precision}"]
        if subprocess.call([sys.executable, "-m", "lnbench", "-m", *sweep]):
            sys.exit("Some runs failed; the same command does them again.")
        jobs = runs_of_sweep(sweep, None)
        found = {record.id: record for record in load_runs(Path(jobs[0].folder).parents[LEVELS - 1]).records}
        records[precision] = [found[job.id] for job in jobs]
    sys.exit(not tell(records["bf16"], records["fp32"], options.margin))


def tell(low: Sequence[Record], high: Sequence[Record], margin: float) -> bool:
    """Prints the differences in points; returns whether they surely do not matter.

    Args:
        low: runs in bf16.
        high: the same runs in fp32.
        margin: size in points from which on a difference matters.
    """
    scores = [_points(runs) for runs in (low, high)]
    cells = differences(*scores)
    found = on_these_tasks(Cells.of([*cells.values()]))
    table = Table("task", "bf16", "fp32", "difference in points", "standard deviation", "seeds")
    for task, values in cells.items():
        means = (np.mean([score for (name, _), score in points.items() if name == task]) for points in scores)
        row = (*(f"{mean:.2f}" for mean in means), f"{values.mean():+.2f}", f"{values.std(ddof=1):.2f}")
        table.add_row(task, *row, str(values.size))
    console = Console(highlight=False)
    console.print(table)
    ends = (float(end) for end in found.interval(2 * LEVEL))
    decided = str(decisions(found, LEVEL, margin))
    console.print(
        f"bf16 - fp32 on these tasks: {float(found.mean):+.2f} points, 90% interval "
        f"[{', '.join(f'{end:+.2f}' for end in ends)}]; margin {margin:g}: {decided}"
    )
    return decided == "no difference that matters"


def differences(low: Scores, high: Scores) -> dict[str, NDArray[np.float64]]:
    """By task, the difference of each pair of runs, in the order of their seeds.

    Raises:
        ValueError: a run has no partner.
    """
    if low.keys() != high.keys():
        raise ValueError(f"{sorted(low.keys() ^ high.keys())}: have no partner")
    tasks = sorted({task for task, _ in low})
    return {task: np.array([low[pair] - high[pair] for pair in sorted(low) if pair[0] == task]) for task in tasks}


def _points(records: Sequence[Record]) -> dict[tuple[str, int], float]:
    return {(record.task, record.seed): _score(record) for record in records}


def _score(record: Record) -> float:
    """The test score in points of the metric."""
    task = record.config["task"]
    point = metric_of(task["metric"], task["mode"]).point
    if point is None:
        sys.exit(f"{record.task}: {task['metric']} has no points; choose a task with another metric")
    return record.metrics["test"][task["metric"]] / point


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.compare_precision",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--tasks", nargs="+", required=True, metavar="TASK", help="names of configured tasks")
    parser.add_argument("--seeds", type=whole_number(LEAST_SEEDS), default=5, help="number of seeds (default: 5)")
    parser.add_argument(
        "--margin",
        type=number_between(0, np.inf),
        default=0.5,
        help="points from which on a difference matters (default: 0.5)",
    )
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="overrides of all runs")
    options = parser.parse_intermixed_args()
    options.overrides += [word for word in options.tasks if OVERRIDE.fullmatch(word)]
    options.tasks = [word for word in options.tasks if not OVERRIDE.fullmatch(word)]
    return options


if __name__ == "__main__":
    main()
