"""Positions for small drawings of confidence intervals."""

from collections.abc import Sequence
from dataclasses import dataclass

from lnbench.report.claims.verdicts import Finding

WIDTH, EDGE = 160.0, 8.0


@dataclass(frozen=True)
class Interval:
    """Horizontal positions in a drawing, from 0 to 160. A difference of 0 is at 80.

    Attributes:
        mean: position of the mean difference.
        low: position of the confidence interval's lower end.
        high: position of its upper end.
    """

    mean: float
    low: float
    high: float


def intervals(findings: Sequence[Finding]) -> list[Interval | None]:
    """The intervals of one claim, on one scale for each unit; None where there is no difference."""
    reach: dict[str, float] = {}
    for finding in findings:
        reach[_unit(finding)] = max([reach.get(_unit(finding), 0.0), *map(abs, _values(finding))])
    return [_interval(_values(finding), reach[_unit(finding)]) for finding in findings]


def _unit(finding: Finding) -> str:
    return finding.metric.unit if finding.metric else finding.comparison.quantity


def _values(finding: Finding) -> list[float]:
    """The mean, and the lower and upper end of the interval."""
    if finding.difference is None:
        return []
    mean = finding.difference.mean
    return [mean, *(finding.interval or (mean, mean))]


def _interval(values: Sequence[float], reach: float) -> Interval | None:
    scale = (WIDTH / 2 - EDGE) / reach if reach else 0.0
    return Interval(*(round(WIDTH / 2 + scale * value, 1) for value in values)) if values else None
