"""Verdicts of the runs on each claim, and on the comparisons in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from lnbench.core.words import number_of
from lnbench.records.commands import MissingRuns, command_lines
from lnbench.report.claims.aggregates import Aggregate, probability_of_improvement
from lnbench.report.claims.claims import DIFFERENCES, EXACT, NAMES, Claim, Comparison, Side
from lnbench.report.claims.difference import CELL, Difference, difference_of
from lnbench.report.claims.missing import missing_for
from lnbench.report.claims.nested import LEAST_SEEDS, Decision, Estimate, decisions, interval_with
from lnbench.report.claims.noise import resolution_of
from lnbench.report.claims.pairs import at_best_rate, pairs, runs_of, sign_of_better, undisturbed
from lnbench.report.claims.power import seeds_to_decide
from lnbench.report.claims.rows import Samples, noise_of_rows
from lnbench.tasks.scores.metric import FORGETTING, Metric, metric_of

if TYPE_CHECKING:
    import pandas as pd

    from lnbench.report.load import Loaded

Outcome = Literal["supported", "contradicted", "no difference that matters", "not decided"]
DISTURBED = (
    "other programs had all cores meanwhile, so times mean nothing; to do such a run again, repeat its own command "
    "with rerun=true"
)
LEVEL = 0.05
"""Error level of all decisions together. Each one has its share, by Bonferroni's method."""


@dataclass(frozen=True)
class Finding:
    """The result of a comparison with one right side. Scores of different units have separate findings.

    Attributes:
        comparison: comparison in a claim.
        right: one of the comparison's right sides.
        pairs: table from `lnbench.report.claims.pairs.pairs`.
        apart: whether there are also pairs in another unit, which have a finding of their own.
        sign: 1 if a positive difference means that the left side is better, else -1.
        difference: mean difference of the pairs; None if there are no pairs.
        level: error level of this decision, which is that of the interval on these tasks.
        outcome: whether the comparison holds.
        why: reason why the comparison is not decided.
        absent: sides without runs.
        missing: runs that are missing for a decision.
        rows: part of the difference that comes from the choice of the test rows, whose mean is 0; None if it is not
            known.
    """

    comparison: Comparison
    right: Side
    pairs: pd.DataFrame
    sign: int
    difference: Difference | None
    apart: bool = False
    level: float = LEVEL
    outcome: Outcome = "not decided"
    why: str = ""
    absent: tuple[str, ...] = ()
    missing: tuple[MissingRuns, ...] = ()
    rows: Estimate | None = None

    @property
    def title(self) -> str:
        """The comparison in words."""
        quantity, factor = self.comparison.quantity, self.comparison.factor
        share = "" if factor == 1 else f"{factor:g} x "
        names = f"{self.comparison.left.name} {self.comparison.left_is} than {share}{self.right.name}"
        if quantity != "score":
            return f"{names} in {NAMES[quantity]}"
        titles = dict.fromkeys(metric_of(*one).title for one in self.pairs[["metric", "mode"]].itertuples(index=False))
        return f"{names} in {' and '.join(titles)}" if self.apart else names

    @property
    def metric(self) -> Metric | None:
        """One of the pairs' metrics, which share one unit; `FORGETTING` for forgetting. None for other quantities, and
        for scores without pairs."""
        if self.comparison.quantity == "forgetting":
            return FORGETTING
        if self.comparison.quantity != "score" or self.pairs.empty:
            return None
        return metric_of(self.pairs["metric"].iloc[0], self.pairs["mode"].iloc[0])

    @property
    def margin(self) -> float | None:
        """Size from which on a difference matters; None if it is not known, and for exact quantities."""
        return self.comparison.least_that_matters(self.metric)

    @property
    def interval(self) -> tuple[float, float] | None:
        """The interval on these tasks, of the error level `level`; None where nothing can be tested."""
        return _ends(self.difference.here, self.level) if self.difference else None

    @property
    def on_other_rows(self) -> tuple[float, float] | None:
        """The interval on these tasks, of the level `level`, if the test rows are random, too; None if not known."""
        if self.difference is None or self.difference.here is None or self.rows is None:
            return None
        low, high = interval_with(self.rows, self.difference.here, self.level)
        return float(low), float(high)

    @property
    def share_of_rows(self) -> float | None:
        """Share of the test rows in the variance of the mean difference; None if not known."""
        if self.difference is None or self.difference.here is None or self.rows is None:
            return None
        rows, seeds = float(self.rows.error**2), float(self.difference.here.error**2)
        return rows / (rows + seeds)

    @cached_property
    def improvement(self) -> Aggregate | None:
        """The probability that a run of the left side is better than one of the right side, as a mean over the tasks.

        None for quantities other than scores, and with too few seeds.
        """
        found = self.difference
        if self.comparison.quantity != "score" or found is None or min(found.counts.values()) < LEAST_SEEDS:
            return None
        groups, resolution = self.pairs.groupby(CELL), resolution_of(self.pairs["left"], self.pairs["right"])
        scores = [self.sign * groups.get_group(cell)[["left", "right"]].to_numpy(float).T for cell in found.counts]
        return probability_of_improvement([(left, right) for left, right in scores], found.weights, resolution)

    @property
    def elsewhere(self) -> tuple[float, float] | None:
        """The interval on tasks like these, of 95% by itself; None with too few tasks."""
        return _ends(self.difference.elsewhere, LEVEL) if self.difference else None

    @property
    def tasks(self) -> list[str]:
        """The tasks of the pairs that count."""
        return sorted({task for task, *_ in self.difference.counts}) if self.difference else []

    @cached_property
    def more(self) -> int | None:
        """Number of further seeds of each task that decide an open comparison with a probability of 80%.

        The means and variances so far are taken to be the true ones. None if nothing is open, too little is known or
        the number is larger than 10,000.
        """
        found = self.difference
        if self.outcome != "not decided" or found is None or found.cells is None:
            return None
        return seeds_to_decide(found.cells, found.weights, self.level, self.margin)

    @property
    def hours(self) -> float | None:
        """Time of the runs of `more`, by the records of the pairs, one run after the other; None without a number."""
        if self.more is None or self.difference is None:
            return None
        seconds = self.pairs.groupby(CELL)["seconds"].mean()
        return self.more * sum(float(seconds[cell]) for cell in self.difference.counts) / 3600

    @property
    def wanted(self) -> int:
        """The sign of the differences for which the comparison holds."""
        return self.sign if self.comparison.left_is == "better" else -self.sign

    @property
    def mean_is_against(self) -> bool:
        """Whether the mean difference, decided or not, is 0 or against the claim."""
        return self.difference is not None and self.difference.mean * self.wanted <= 0


@dataclass(frozen=True)
class Verdict:
    """The verdict on a claim, which is that all its comparisons hold.

    It is supported if all findings are. It is contradicted if any finding is, or finds no difference that matters.
    """

    claim: Claim
    findings: tuple[Finding, ...]

    @property
    def outcome(self) -> Outcome:
        """The outcome for the claim as a whole."""
        outcomes = {finding.outcome for finding in self.findings}
        if outcomes & {"contradicted", "no difference that matters"}:
            return "contradicted"
        return "supported" if outcomes == {"supported"} else "not decided"

    @property
    def why(self) -> str:
        """The reasons why the claim is not decided or contradicted, each once; empty if the numbers tell it."""
        if self.outcome == "contradicted":
            alike = [finding.title for finding in self.findings if finding.outcome == "no difference that matters"]
            return f"there is no difference that matters in {' and in '.join(alike)}" if alike else ""
        undecided = [finding for finding in self.findings if finding.outcome == "not decided"]
        absent = dict.fromkeys(name for finding in undecided for name in finding.absent)
        reasons = dict.fromkeys(finding.why for finding in undecided if not finding.absent)
        return "; ".join([*([f"no runs of {', '.join(absent)}"] if absent else []), *reasons])

    @property
    def has_pairs(self) -> bool:
        """Whether there are runs to judge any of the comparisons by."""
        return any(finding.difference for finding in self.findings)

    @property
    def commands(self) -> list[str]:
        """The commands that do the missing runs, each once."""
        return command_lines(runs for finding in self.findings for runs in finding.missing)


def judge(claims: Sequence[Claim], loaded: Loaded, runs: pd.DataFrame) -> list[Verdict]:
    """Makes all comparisons of the claims. The error level is divided by the number of all that can be tested.

    Args:
        claims: claims to judge.
        loaded: records, needed for the commands that do missing runs.
        runs: table from `lnbench.report.load.frame`.
    """
    runs = at_best_rate(runs)
    found = [list(_findings(claim, runs)) for claim in claims]
    tested = [finding for findings in found for finding in findings if finding.interval]
    level, samples = LEVEL / max(1, len(tested)), Samples(loaded)
    return [
        Verdict(
            claim,
            tuple(
                _decided(with_noise_of_rows(replace(finding, level=level), samples), loaded, runs)
                for finding in findings
            ),
        )
        for claim, findings in zip(claims, found, strict=True)
    ]


def outcome_of(decision: Decision, comparison: Comparison) -> Outcome:
    """What a decision on the left side says of a comparison."""
    if decision in ("better", "worse"):
        return "supported" if decision == comparison.left_is else "contradicted"
    return "no difference that matters" if decision == "no difference that matters" else "not decided"


def finding_of(comparison: Comparison, right: Side, found: pd.DataFrame, apart: bool, level: float = LEVEL) -> Finding:
    """A finding without an outcome.

    Args:
        comparison: comparison of a claim.
        right: one of its right sides.
        found: pairs of one unit, as from `lnbench.report.claims.pairs.pairs`.
        apart: whether there are also pairs in another unit.
        level: error level of the decision.
    """
    sign, difference = sign_of_better(comparison, found), _difference(comparison, found)
    return Finding(comparison, right, found, sign, difference, apart, level)


def with_outcome(finding: Finding) -> Finding:
    """The finding with what its pairs decide; it has at least one pair."""
    assert finding.difference
    if finding.comparison.quantity in EXACT:
        outcome, why = _exactly(finding)
        return replace(finding, outcome=outcome, why=why)
    return _by_interval(finding, finding.difference)


def with_noise_of_rows(finding: Finding, samples: Samples) -> Finding:
    """The finding with the noise of the test rows, if it is about a difference of scores that has an interval.

    Args:
        finding: finding whose pairs have the columns `id_left` and `id_right`.
        samples: samples of all runs.
    """
    found = finding.difference
    if finding.comparison.quantity != "score" or found is None or found.here is None:
        return finding
    return replace(finding, rows=noise_of_rows(finding.pairs, found, samples))


def _findings(claim: Claim, runs: pd.DataFrame) -> Iterator[Finding]:
    for comparison in claim.all_comparisons:
        for right in comparison.right:
            found = pairs(comparison, right, undisturbed(comparison, runs))
            scores = comparison.quantity == "score" and len(found)
            groups = [own for _, own in found.groupby("unit", sort=False)] if scores else [found]
            for own in groups:
                yield finding_of(comparison, right, own, apart=len(groups) > 1)


def _difference(comparison: Comparison, found: pd.DataFrame) -> Difference | None:
    if found.empty:
        return None
    differ = comparison.quantity in DIFFERENCES
    whole = difference_of(found, resolution_of(found["left"], found["right"]) if differ else 0.0)
    return replace(whole, cells=None, here=None, elsewhere=None) if comparison.quantity in EXACT else whole


def _decided(finding: Finding, loaded: Loaded, runs: pd.DataFrame) -> Finding:
    sides = (finding.comparison.left, finding.right)
    if finding.apart:
        runs = runs[runs["unit"].isin(finding.pairs["unit"])]
    disturbed = _disturbed(finding, runs)
    if finding.difference is None:
        if disturbed:
            return replace(finding, why=disturbed)
        absent = tuple(side.name for side in sides if runs_of(side, runs).empty)
        why = f"no runs of {' and '.join(absent)}" if absent else "no two runs that differ in nothing else"
        return replace(finding, why=why, absent=absent, missing=missing_for(sides, loaded, runs))
    decided = with_outcome(finding)
    if decided.outcome != "not decided" or finding.comparison.quantity in EXACT:
        return decided
    if disturbed:
        return replace(decided, why=f"{decided.why}; {disturbed}")
    few = finding.difference.few or min(finding.difference.counts.values()) < LEAST_SEEDS
    return replace(decided, missing=missing_for(sides, loaded, runs) if few else ())


def _disturbed(finding: Finding, runs: pd.DataFrame) -> str:
    """A message on runs of both sides that cannot be compared because other programs ran beside them; or empty."""
    own = [runs_of(side, runs) for side in (finding.comparison.left, finding.right)]
    count = sum(len(one) - len(undisturbed(finding.comparison, one)) for one in own)
    return f"{number_of(count, 'run')} left out: {DISTURBED}" if count else ""


def _exactly(finding: Finding) -> tuple[Outcome, str]:
    """Judges a quantity without chance: the comparison must hold for every pair."""
    holds = finding.pairs["difference"] * finding.wanted > 0
    if holds.all():
        return "supported", ""
    return ("not decided", "it holds for some pairs only") if holds.any() else ("contradicted", "")


def _by_interval(finding: Finding, difference: Difference) -> Finding:
    if difference.here is None:
        return replace(finding, why=_untested(difference))
    favour = replace(difference.here, mean=finding.sign * difference.here.mean)
    decision: Any = str(decisions(favour, finding.level, finding.margin))
    outcome = outcome_of(decision, finding.comparison)
    if outcome != "not decided":
        return replace(finding, outcome=outcome)
    beside = "" if finding.margin is None else " and differences that matter"
    return replace(finding, why=f"the interval includes no difference{beside}")


def _untested(difference: Difference) -> str:
    least = min(difference.counts.values())
    if least >= LEAST_SEEDS:
        return f"all {difference.n} pairs differ by the same amount, which cannot be tested"
    where = [task for (task, *_), count in difference.counts.items() if count == least]
    on = f" on {', '.join(dict.fromkeys(where))}" if len(difference.counts) > 1 else ""
    return f"{least} of at least {LEAST_SEEDS} pairs of runs that differ in nothing else{on}"


def _ends(estimate: Estimate | None, level: float) -> tuple[float, float] | None:
    if estimate is None:
        return None
    low, high = estimate.interval(level)
    return float(low), float(high)
