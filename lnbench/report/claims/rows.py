"""How much a mean difference of scores depends on which test rows there are.

All runs of a task share its test rows, so more seeds do not make this noise smaller. It is measured with the answers to
the single rows. docs/statistics.md has the formulas.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from math import isclose
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lnbench.records.answers import answers_of
from lnbench.records.record import Record
from lnbench.report.claims.difference import CELL, Difference
from lnbench.report.claims.nested import Cells, Estimate, Values, on_these_tasks
from lnbench.tasks.base import TASKS
from lnbench.tasks.scores.metric import RESOLUTION

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import pandas as pd

    from lnbench.report.load import Loaded
    from lnbench.tasks.base import Task

RESAMPLES = 1_000
"""Number of test sets that are drawn with replacement from the test rows. Their variance is then known to about 5%."""
SEED = 0
ELEMENTS = 2**18
"""Largest number of counts that are held at once, in rows x test sets. Larger blocks are slower, not faster."""
LEAST_ROWS = 2


@dataclass(frozen=True)
class Sample:
    """How the test score of a run varies with the test rows.

    Attributes:
        values: numbers that vary alike for all runs on the same rows: the scores of the N rows, if the score is their
            mean, or the scores of `RESAMPLES` test sets drawn from the rows.
        scale: factor that makes a variance over `values` the variance of the score.
        rows: number of test rows.
        group: task, metric and number of rows. Samples of one group can be added up.
        data: task, data and references. Runs with the same ones were tested on the same rows.
    """

    values: Values
    scale: float
    rows: int
    group: tuple[str, str, int]
    data: tuple[str, str, str]


class Samples(dict[str, Sample | None]):
    """The samples of runs by id, each read when it is first asked for. None stands for a run without one."""

    def __init__(self, loaded: Loaded) -> None:
        """
        Args:
            loaded: runs, and the folders with their answers.
        """
        super().__init__()
        self._records, self._folders = {record.id: record for record in loaded.records}, loaded.folders

    def __missing__(self, run_id: str) -> Sample | None:
        self[run_id] = sample_of(self._records[run_id], self._folders[run_id])
        return self[run_id]


def sample_of(record: Record, folder: Path) -> Sample | None:
    """The sample of a run; None if its answers are missing or damaged, or do not give its score."""
    metric = record.selection.metric
    try:
        task = TASKS.parse(record.config["task"], "task")
        numbers, rows = answers_of(record, folder, task), record.data.rows["test"]
        drawn, told = _drawn(task, numbers, metric, rows), record.metrics["test"][metric]
    except Exception:  # such as from answers that are no labels of the task; a record may come from anyone
        return None
    if drawn is None or not isclose(drawn.score, told, rel_tol=RESOLUTION, abs_tol=RESOLUTION):
        return None
    references = repr(numbers.get("reference")).encode()
    data = (record.task, record.data.fingerprint, sha256(references).hexdigest())
    return Sample(drawn.values, drawn.scale, rows, (record.task, metric, rows), data)


def noise_of_rows(pairs: pd.DataFrame, difference: Difference, samples: Mapping[str, Sample | None]) -> Estimate | None:
    """The part of a mean difference that comes from the choice of the test rows, whose mean is 0.

    Its standard error is that of the mean over many seeds, if other test rows were drawn. The noise that seeds and rows
    make only together is left out, because the variance over the seeds includes it.

    Args:
        pairs: pairs of scores, from `lnbench.report.claims.pairs.pairs`.
        difference: their mean difference.
        samples: samples of all runs by id.

    Returns:
        None if a run has no sample, or the runs of a pair were not tested on the same rows.
    """
    groups: dict[tuple[str, str, int], list[_Cell]] = defaultdict(list)
    of_cells = pairs.groupby(CELL)
    for cell, weight in zip(difference.counts, difference.weights, strict=True):
        found = of_cells.get_group(cell)
        both = [(samples[left], samples[right]) for left, right in found[["id_left", "id_right"]].to_numpy().tolist()]
        whole = [(left, right) for left, right in both if left and right and left.data == right.data]
        if len(whole) < len(both) or len({left.group for left, _ in whole}) > 1:
            return None
        differences = np.stack([left.values - right.values for left, right in whole])
        groups[whole[0][0].group].append(_Cell(weight * differences, whole[0][0]))
    counts = np.array([rows for _, _, rows in groups], dtype=np.float64)
    parts = np.array([_variance(cells) for cells in groups.values()])
    cells = Cells(np.zeros(len(parts)), parts * counts, counts)
    return on_these_tasks(cells, np.ones(len(parts)))


@dataclass(frozen=True)
class _Cell:
    """The weighted differences of S pairs of one task, model and setting, (S, N) or (S, R), and one of the samples."""

    differences: Values
    sample: Sample


def _variance(cells: Sequence[_Cell]) -> float:
    """The variance of a sum of mean differences on the same test rows, without what seeds and rows make together.

    The mean over S seeds has a variance of B + C / S over the test rows: B is what the rows do to all seeds alike, and
    C what they do to single seeds. C / S is left out, because the variance over the seeds includes it.
    """
    scale = cells[0].sample.scale
    shared = np.sum([cell.differences.mean(axis=0) for cell in cells], axis=0).var(ddof=1)
    alone = 0.0
    for cell in cells:
        seeds = len(cell.differences)
        around = cell.differences - cell.differences.mean(axis=0)
        alone += around.var(axis=1, ddof=1).sum() / (seeds - 1) / seeds
    return scale * max(0.0, float(shared - alone))


class _Drawn(NamedTuple):
    """`values` and `scale` of a sample, and the score that all rows give."""

    values: Values
    scale: float
    score: float


def _drawn(task: Task, numbers: Mapping[str, Sequence[Any]], metric: str, rows: int) -> _Drawn | None:
    if rows < LEAST_ROWS or {len(column) for column in numbers.values()} != {rows}:
        return None
    if (of_rows := task.row_scores(numbers, metric)) is not None:
        return _Drawn(of_rows, 1 / rows, float(of_rows.mean()))
    if (of_all := task.resampled(numbers, metric, np.ones((1, rows)))) is None:
        return None
    step = max(1, ELEMENTS // rows)
    sizes = [min(step, RESAMPLES - first) for first in range(0, RESAMPLES, step)]
    parts = (task.resampled(numbers, metric, resamples(rows, size, block)) for block, size in enumerate(sizes))
    values = np.concatenate([part for part in parts if part is not None])
    return _Drawn(values, rows / (rows - 1), float(of_all[0]))


@lru_cache(maxsize=32)
def resamples(rows: int, size: int, block: int) -> Values:
    """How often each row is drawn in test sets that are drawn with replacement, (size, rows). Equal calls are equal.

    Args:
        rows: number of rows, of which each test set has as many.
        size: number of test sets.
        block: number that makes these test sets independent of others.
    """
    drawn = np.random.default_rng((SEED, rows, block)).integers(rows, size=(size, rows))
    return np.stack([np.bincount(one, minlength=rows) for one in drawn]).astype(np.float64)
