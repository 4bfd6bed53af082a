"""Small drawings of confidence intervals."""

from collections.abc import Sequence
from dataclasses import dataclass

from lnbench.report.claims.verdicts import Finding

WIDTH, EDGE = 160.0, 8.0


@dataclass(frozen=True)
class Interval:
    """Horizontal places, from 0 to 160, of what is drawn; no difference is at 80.

    Attributes:
        mean: of the difference.
        low: of the confidence interval's lower end.
        high: of its upper end.
    """

    mean: float
    low: float
    high: float


def intervals(findings: Sequence[Finding]) -> list[Interval | None]:
    """Those of one claim, the differences of each unit to one scale; None where there is no difference."""
    reach: dict[str, float] = {}
    for finding in findings:
        reach[_unit(finding)] = max([reach.get(_unit(finding), 0.0), *map(abs, _values(finding))])
    return [_interval(_values(finding), reach[_unit(finding)]) for finding in findings]


def _unit(finding: Finding) -> str:
    return finding.metric.unit if finding.metric else finding.comparison.quantity


def _values(finding: Finding) -> list[float]:
    """Mean, lower and upper end."""
    found = finding.difference
    if found is None:
        return []
    return [
        found.mean,
        found.mean if found.low is None else found.low,
        found.mean if found.high is None else found.high,
    ]


def _interval(values: Sequence[float], reach: float) -> Interval | None:
    scale = (WIDTH / 2 - EDGE) / reach if reach else 0.0
    return Interval(*(round(WIDTH / 2 + scale * value, 1) for value in values)) if values else None
