"""An experiment: claims, tasks and the rule by which they are decided."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf

from lnbench.core.words import number_of
from lnbench.deciding.contest import Contest, Course, Pair, follow_all, verdicts_of
from lnbench.deciding.runs import Run, Runs
from lnbench.report.claims.claims import Claim
from lnbench.report.claims.verdicts import Verdict


@dataclass(frozen=True)
class Experiment:
    """The full rule of an experiment: what is looked at, when, and at which level.

    Attributes:
        claims: claims to decide.
        contests: comparisons of all claims.
        runs: runs of the experiment.
        level: error level of all decisions together.
        most_seeds: largest number of seeds of a task.
    """

    claims: tuple[Claim, ...]
    contests: tuple[Contest, ...]
    runs: Runs
    level: float
    most_seeds: int

    @property
    def about(self) -> str:
        """The rule in one line."""
        comparisons, seeds = number_of(len(self.contests), "comparison"), number_of(self.most_seeds, "seed")
        risk = f"probability of any wrong decision at most {100 * self.level:g}%"
        return f"{comparisons}, {risk}, at most {seeds} of a task"

    def courses(self) -> list[Course]:
        """All comparisons as far as their runs are done. Those that depend on chance share the error level.

        If one comparison contradicts its claim, the others of the claim are settled.
        """
        courses = follow_all(self.contests, self.runs, self.level, self.most_seeds)
        contradicted = [verdict.outcome == "contradicted" for verdict in self.verdicts(courses)]
        return [
            replace(course, settled=contradicted[course.contest.claim] and course.finding.outcome == "not decided")
            for course in courses
        ]

    def wanted(self, courses: Sequence[Course]) -> list[Pair]:
        """The pairs of the next look of all open comparisons, those of the likely cheapest decision first."""
        ordered = sorted((course for course in courses if course.is_open), key=self._cost_to_decide)
        return list(dict.fromkeys(pair for course in ordered for pair in course.wanted))

    def lacking(self, pairs: Sequence[Pair]) -> list[Run]:
        """The runs of pairs that are not done, each once."""
        return [run for run in dict.fromkeys(run for pair in pairs for run in pair) if self.runs.record(run) is None]

    def seconds(self, runs: Sequence[Run]) -> float | None:
        """The likely time of some runs, one after the other; None if no run is done yet."""
        costs = [cost for run in runs if (cost := self.runs.seconds(run)) is not None]
        return sum(costs) if costs and len(costs) == len(runs) else None

    def to_decide(self, course: Course) -> list[Run] | None:
        """The further runs that likely decide a comparison, if each task gets as many seeds more.

        None if nothing is known of the differences, or if more seeds are likely needed than there are.
        """
        if not course.looks or (more := course.finding.more) is None:
            return None
        counts = [count + more for count in course.looks[-1].counts.values()]
        if sum(counts) > len(counts) * self.most_seeds:
            return None
        return self.lacking(course.contest.pairs(counts))

    def most_runs(self, courses: Sequence[Course]) -> int:
        """Number of further runs if no comparison is decided before its last look."""
        pairs = [
            pair
            for course in courses
            if course.is_open
            for most in [1 if course.contest.exact else self.most_seeds]
            for pair in course.contest.pairs([most] * len(course.contest.arms))
        ]
        return len(self.lacking(pairs))

    def verdicts(self, courses: Sequence[Course]) -> list[Verdict]:
        """The verdict on each claim."""
        return verdicts_of(self.claims, courses)

    def _cost_to_decide(self, course: Course) -> float:
        """Likely seconds to a decision, or to the first look as long as there was none."""
        runs = self.to_decide(course) if course.looks else self.lacking(course.wanted)
        return inf if runs is None else sum(self.runs.seconds(run) or 0.0 for run in runs)
