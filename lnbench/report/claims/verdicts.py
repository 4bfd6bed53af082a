"""Verdicts of the runs on each claim: supported, contradicted, or not decided."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from lnbench.records.commands import MissingRuns, command_lines
from lnbench.report.claims.claims import EXACT, NAMES, Claim, Comparison, Side
from lnbench.report.claims.missing import missing_for
from lnbench.report.claims.pairs import at_best_rate, pairs, resolution_of, runs_of, sign_of_better
from lnbench.report.claims.statistics import LEAST_PAIRS, Difference, compare, holm
from lnbench.tasks.scores.metric import Metric, metric_of

if TYPE_CHECKING:
    import pandas as pd

    from lnbench.report.load import Loaded

Outcome = Literal["supported", "contradicted", "not decided"]
LEVEL = 0.05
"""Level of significance. A comparison with a corrected p-value below it is decided."""


@dataclass(frozen=True)
class Finding:
    """The result of a comparison with one right side. Scores of different units have separate findings.

    Attributes:
        comparison: comparison in a claim.
        right: one of the comparison's right sides.
        pairs: table from `lnbench.report.claims.pairs.pairs`.
        apart: whether there are also pairs in another unit, which have a finding of their own.
        sign: 1 if a positive difference means that the left side is better, else -1.
        difference: mean difference of the pairs, with its test; None if there are no pairs.
        p: p-value after Holm's correction over all comparisons of all claims.
        outcome: whether the comparison holds.
        why: reason why the comparison is not decided.
        absent: sides without runs.
        missing: runs that are missing for a decision.
    """

    comparison: Comparison
    right: Side
    pairs: pd.DataFrame
    sign: int
    difference: Difference | None
    apart: bool = False
    p: float | None = None
    outcome: Outcome = "not decided"
    why: str = ""
    absent: tuple[str, ...] = ()
    missing: tuple[MissingRuns, ...] = ()

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
        """One of the pairs' metrics, which share one unit; None without pairs, and for quantities other than scores."""
        if self.comparison.quantity != "score" or self.pairs.empty:
            return None
        return metric_of(self.pairs["metric"].iloc[0], self.pairs["mode"].iloc[0])

    @property
    def tasks(self) -> list[str]:
        """The tasks of the pairs."""
        return sorted(map(str, self.pairs["task"].unique()))

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
    """The verdict on a claim: supported if all findings are supported, contradicted if any is contradicted."""

    claim: Claim
    findings: tuple[Finding, ...]

    @property
    def outcome(self) -> Outcome:
        """The outcome for the claim as a whole."""
        outcomes = {finding.outcome for finding in self.findings}
        if "contradicted" in outcomes:
            return "contradicted"
        return "supported" if outcomes == {"supported"} else "not decided"

    @property
    def why(self) -> str:
        """The reasons why the claim is not decided, each once."""
        undecided = [finding for finding in self.findings if finding.outcome == "not decided"]
        absent = dict.fromkeys(name for finding in undecided for name in finding.absent)
        reasons = dict.fromkeys(finding.why for finding in undecided if not finding.absent)
        lines = [f"no runs of {', '.join(absent)}"] if absent else []
        return "; ".join([*lines, *reasons]) if self.outcome == "not decided" else ""

    @property
    def commands(self) -> list[str]:
        """The commands that do the missing runs, each once."""
        return command_lines(runs for finding in self.findings for runs in finding.missing)


def judge(claims: Sequence[Claim], loaded: Loaded, runs: pd.DataFrame) -> list[Verdict]:
    """Makes all comparisons of the claims. The p-values are corrected for the number of all comparisons together.

    Args:
        claims: claims to judge.
        loaded: records, needed for the commands that do missing runs.
        runs: table from `lnbench.report.load.frame`.
    """
    runs = at_best_rate(runs)
    found = [list(_findings(claim, runs)) for claim in claims]
    together = [finding for findings in found for finding in findings]
    corrected = iter(holm([finding.difference.p if finding.difference else None for finding in together]))
    return [
        Verdict(claim, tuple(_decided(replace(finding, p=next(corrected)), loaded, runs) for finding in findings))
        for claim, findings in zip(claims, found, strict=True)
    ]


def _findings(claim: Claim, runs: pd.DataFrame) -> Iterator[Finding]:
    for comparison in claim.comparisons:
        for right in comparison.right:
            found = pairs(comparison, right, runs)
            scores = comparison.quantity == "score" and len(found)
            groups = [own for _, own in found.groupby("unit", sort=False)] if scores else [found]
            for own in groups:
                sign, difference = sign_of_better(comparison, own), _difference(comparison, own)
                yield Finding(comparison, right, own, sign, difference, apart=len(groups) > 1)


def _difference(comparison: Comparison, found: pd.DataFrame) -> Difference | None:
    if found.empty:
        return None
    scores = comparison.quantity == "score"
    tested = compare(found["difference"].tolist(), resolution_of(found["left"], found["right"]) if scores else 0.0)
    return Difference(tested.n, tested.mean) if comparison.quantity in EXACT else tested


def _decided(finding: Finding, loaded: Loaded, runs: pd.DataFrame) -> Finding:
    sides = (finding.comparison.left, finding.right)
    if finding.apart:
        runs = runs[runs["unit"].isin(finding.pairs["unit"])]
    exact = finding.comparison.quantity in EXACT
    if finding.difference is not None:
        outcome, why = _exactly(finding) if exact else _by_test(finding, finding.difference)
        few = finding.difference.n < LEAST_PAIRS and not exact
        return replace(finding, outcome=outcome, why=why, missing=missing_for(sides, loaded, runs) if few else ())
    absent = tuple(side.name for side in sides if runs_of(side, runs).empty)
    why = f"no runs of {' and '.join(absent)}" if absent else "no two runs that differ in nothing else"
    return replace(finding, why=why, absent=absent, missing=missing_for(sides, loaded, runs))


def _exactly(finding: Finding) -> tuple[Outcome, str]:
    """Judges a quantity without chance: the comparison must hold for every pair."""
    holds = finding.pairs["difference"] * finding.wanted > 0
    if holds.all():
        return "supported", ""
    return ("not decided", "it holds for some pairs only") if holds.any() else ("contradicted", "")


def _by_test(finding: Finding, difference: Difference) -> tuple[Outcome, str]:
    if difference.p is None:
        if difference.n < LEAST_PAIRS:
            return "not decided", f"{difference.n} of at least {LEAST_PAIRS} pairs of runs that differ in nothing else"
        return "not decided", f"all {difference.n} pairs differ by the same amount, which cannot be tested"
    low, high, p = difference.low or 0.0, difference.high or 0.0, finding.p or 0.0
    if low <= 0 <= high:
        return "not decided", "the confidence interval includes no difference"
    if p >= LEVEL:
        return "not decided", f"the corrected p is not below {LEVEL}"
    return ("contradicted" if finding.mean_is_against else "supported"), ""
