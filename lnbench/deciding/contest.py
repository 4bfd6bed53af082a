"""One comparison on some tasks, followed from look to look until it is decided."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd

from lnbench.core.words import number_of
from lnbench.deciding.runs import Run
from lnbench.records.record import Record
from lnbench.report.claims.claims import DIFFERENCES, EXACT, Claim, Comparison, Side
from lnbench.report.claims.looks import levels, looks
from lnbench.report.claims.nested import Cells, Values
from lnbench.report.claims.pairs import METRIC, paired_differences, undisturbed
from lnbench.report.claims.verdicts import DISTURBED, Finding, Verdict, finding_of, with_outcome
from lnbench.report.load import values_of

Pair = tuple[Run, Run]


class Source(Protocol):
    """Where the records of an experiment come from."""

    def arm(self, side: Side, task: str) -> tuple[str, ...]:
        """What chooses the method of a side of a comparison on a task, in a `Run`."""

    def unit(self, run: Run) -> str:
        """The unit of the scores of a run, as `lnbench.tasks.scores.metric.Metric.unit_on` gives it."""

    def record(self, run: Run) -> Record | None:
        """The record of a run; None if it is not finished."""


@dataclass(frozen=True)
class Contest:
    """A comparison of two sides on tasks whose scores have one unit.

    Attributes:
        claim: number of the claim among those that are asked.
        comparison: comparison of the claim.
        right: one of its right sides.
        arms: for each task, in alphabetical order, the overrides that choose the methods of the two sides.
        apart: whether there are also tasks of another unit, which are a contest of their own.
    """

    claim: int
    comparison: Comparison
    right: Side
    arms: dict[str, tuple[tuple[str, ...], tuple[str, ...]]]
    apart: bool

    @property
    def exact(self) -> bool:
        """Whether the quantity does not depend on chance."""
        return self.comparison.quantity in EXACT

    @property
    def empty(self) -> Finding:
        """The finding without any pairs."""
        return Finding(self.comparison, self.right, pd.DataFrame(columns=METRIC), 1, None)

    def pairs(self, counts: Sequence[int]) -> list[Pair]:
        """The pairs of the first seeds of each task.

        Args:
            counts: number of seeds of each task.
        """
        return [
            (Run(left, task, seed), Run(right, task, seed))
            for (task, (left, right)), count in zip(self.arms.items(), counts, strict=True)
            for seed in range(count)
        ]


@dataclass(frozen=True)
class Look:
    """What a look at the data found.

    Attributes:
        counts: number of seeds of each task.
        finding: the comparison with these seeds, at the level of this look.
    """

    counts: dict[str, int]
    finding: Finding


@dataclass(frozen=True)
class Course:
    """A contest as far as its runs are done.

    Attributes:
        contest: the contest.
        looks: looks at the data so far.
        wanted: pairs of the next look of which a run is not done; empty if no look is left.
        problem: why the contest cannot go on; empty otherwise.
        settled: whether its claim is contradicted by another comparison, so that the claim needs no more runs of this
            one.
    """

    contest: Contest
    looks: tuple[Look, ...]
    wanted: tuple[Pair, ...] = ()
    problem: str = ""
    settled: bool = False

    @property
    def finding(self) -> Finding:
        """The finding of the last look."""
        return self.looks[-1].finding if self.looks else self.contest.empty

    @property
    def is_open(self) -> bool:
        """Whether further runs can decide the contest, and are needed."""
        return bool(self.wanted) and not self.problem and not self.settled


def contests(claims: Sequence[Claim], tasks: Sequence[str], runs: Source) -> list[Contest]:
    """The comparisons of the claims, separately for tasks of different units.

    Raises:
        ConfigError: a method or a task cannot be composed.
        DataError: the data of a task cannot be found.
    """
    return [
        contest
        for place, claim in enumerate(claims)
        for comparison in claim.all_comparisons
        for right in comparison.right
        for contest in _contests(place, comparison, right, sorted(set(tasks)), runs)
    ]


def _contests(place: int, comparison: Comparison, right: Side, tasks: Sequence[str], runs: Source) -> Iterator[Contest]:
    arms = {task: (runs.arm(comparison.left, task), runs.arm(right, task)) for task in tasks}
    units = {task: _unit(comparison, [runs.unit(Run(arm, task, 0)) for arm in both]) for task, both in arms.items()}
    for unit in dict.fromkeys(units.values()):
        own = {task: both for task, both in arms.items() if units[task] == unit}
        yield Contest(place, comparison, right, own, apart=len(own) < len(arms))


def _unit(comparison: Comparison, units: Sequence[str]) -> str:
    return units[0] if comparison.quantity == "score" else comparison.quantity


def follow(contest: Contest, runs: Source, levels: Sequence[float], most_seeds: int) -> Course:
    """Looks at the data as often as the finished runs allow, and stops when the contest is decided.

    The looks depend only on the records. The same runs give the same looks, whatever their order and whoever has done
    them.

    Args:
        contest: comparison to follow.
        runs: runs of the experiment.
        levels: error level of each look.
        most_seeds: largest number of seeds of a task.
    """
    tasks = list(contest.arms)
    rule, found = looks(len(tasks), most_seeds), list[Look]()
    counts = next(rule) if not contest.exact else np.ones(len(tasks), dtype=np.int64)
    for level in levels[:1] if contest.exact else levels:
        if found:
            counts = rule.send(_seen(found[-1].finding, tasks))
        pairs = contest.pairs(counts.tolist())
        records = [(runs.record(left), runs.record(right)) for left, right in pairs]
        if wanted := [pair for pair, both in zip(pairs, records, strict=True) if None in both]:
            return Course(contest, tuple(found), tuple(wanted))
        rows = [
            _row(contest, run.task, left, right)
            for (run, _), (left, right) in zip(pairs, records, strict=True)
            if left and right
        ]
        table = pd.DataFrame(rows)
        if problem := _problem(contest, table):
            return Course(contest, tuple(found), problem=problem)
        table = table.assign(difference=paired_differences(contest.comparison, table["left"], table["right"]))
        finding = with_outcome(finding_of(contest.comparison, contest.right, table, contest.apart, level))
        found.append(Look(dict(zip(tasks, counts.tolist(), strict=True)), finding))
        if finding.outcome != "not decided":
            break
    return Course(contest, tuple(found))


def follow_all(contests: Sequence[Contest], runs: Source, level: float, most_seeds: int) -> list[Course]:
    """All contests as far as their runs are done. Those that depend on chance share the error level.

    Args:
        contests: contests to follow.
        runs: runs of the experiment.
        level: error level of all decisions together.
        most_seeds: largest number of seeds of a task.
    """
    tested = sum(not contest.exact for contest in contests)
    of_looks = levels(level, max(1, tested), most_seeds)
    return [follow(contest, runs, of_looks, most_seeds) for contest in contests]


def verdicts_of(claims: Sequence[Claim], courses: Sequence[Course]) -> list[Verdict]:
    """The verdict on each claim, by the contests over its comparisons."""
    return [
        Verdict(claim, tuple(course.finding for course in courses if course.contest.claim == place))
        for place, claim in enumerate(claims)
    ]


def _seen(finding: Finding, tasks: Sequence[str]) -> tuple[Cells, Values]:
    """The cells of a finding and the seconds of a pair, by task."""
    own = [finding.pairs[finding.pairs["task"] == task] for task in tasks]
    cells = Cells.of([pairs["difference"].to_numpy(np.float64) for pairs in own])
    return cells, np.array([max(float(pairs["seconds"].mean()), 1e-9) for pairs in own])


def _row(contest: Contest, task: str, left: Record, right: Record) -> dict[str, object]:
    """The row of a pair, as `lnbench.report.claims.pairs.pairs` makes it, and the hardware of both runs."""
    ours, theirs, quantity = values_of(left), values_of(right), contest.comparison.quantity
    return {
        **{name: ours[name] for name in ("model", "seed", *METRIC)},
        "task": task,
        "setting": "",
        "no_better": ours["no_better"] or theirs["no_better"],
        "seconds": ours["total_seconds"] + theirs["total_seconds"],
        "id_left": left.id,
        "id_right": right.id,
        "left": float(ours[quantity]),
        "right": float(theirs[quantity]),
        "waited": max(ours["waited"], theirs["waited"]),
        "hardware_left": ours["hardware"],
        "hardware_right": theirs["hardware"],
    }


def _problem(contest: Contest, table: pd.DataFrame) -> str:
    """Why the values of pairs cannot be compared; empty if they can."""
    values, quantity = table[["left", "right"]].to_numpy(np.float64), contest.comparison.quantity
    lost = table[~np.isfinite(values).all(axis=1)]
    if len(lost):
        places = ", ".join(f"{one.task} with seed {one.seed}" for one in lost.itertuples())
        return f"a value is not a number on {places}"
    if quantity in DIFFERENCES:
        return ""
    if disturbed := len(table) - len(undisturbed(contest.comparison, table)):
        return f"{number_of(disturbed, 'pair')} of runs cannot be compared in {quantity}: {DISTURBED}"
    if (values <= 0).any():
        return f"{quantity} was not measured in some runs"
    if not contest.exact and (table["hardware_left"] != table["hardware_right"]).any():
        both = sorted({*table["hardware_left"], *table["hardware_right"]})
        return f"runs on different hardware cannot be compared in {quantity}: {'; '.join(both)}"
    return ""
