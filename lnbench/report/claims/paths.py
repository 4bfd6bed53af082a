"""The paths of experiments that ran until they decided, which `python -m lnbench.decide` leaves beside the runs."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from lnbench.core import escape
from lnbench.core.schema import Schema
from lnbench.records.files import DECISIONS
from lnbench.report.claims.claims import Claim
from lnbench.report.claims.verdicts import Outcome
from lnbench.report.tables.formats import markdown_row, markdown_rule

ABOUT = (
    "These comparisons were looked at many times, and runs were added until they were decided. The levels of all looks "
    "at all comparisons of one experiment add up to its error level. So these verdicts hold. The verdicts above do "
    "not hold for these runs, because they assume that the data are looked at once."
)
HEADINGS = ("comparison", "seeds", "mean", "interval", "level", "verdict")

log = logging.getLogger(__name__)


class PathLook(Schema):
    """What one look found."""

    seeds: dict[str, int]
    """Number of seeds of each task."""
    level: float | None
    """Error level of the interval; None if nothing was tested."""
    mean: float
    """Mean difference: of scores as in the records, or of the logarithms of other quantities."""
    interval: tuple[float, float] | None
    outcome: Outcome


class PathOfComparison(Schema):
    """All looks at one comparison."""

    claim: str
    comparison: str
    unit: str
    margin: float | None
    outcome: Outcome
    problem: str = ""
    open: bool
    """Whether further runs can decide it."""
    looks: list[PathLook]


class ExperimentPath(Schema):
    """One experiment."""

    format: Literal[1] = 1
    claims: list[Claim] = Field(min_length=1)
    level: float
    most_seeds: int
    verdicts: dict[str, Outcome]
    comparisons: list[PathOfComparison]


def read_paths(runs_dir: Path) -> list[ExperimentPath]:
    """The paths beside the runs, by file name. A path that cannot be read causes a warning and is left out."""
    found = []
    for file in sorted((runs_dir / DECISIONS).glob("*.json")):
        try:
            found.append(ExperimentPath.model_validate_json(file.read_bytes()))
        except (OSError, ValidationError) as error:
            log.warning("%s: cannot be read (%s)", file, str(error).partition("\n")[0])
    return found


def rows(path: ExperimentPath) -> list[list[str]]:
    """One row for each look, in the order of `HEADINGS`."""
    return [
        [
            comparison.comparison,
            ", ".join(f"{task} {count}" for task, count in look.seeds.items()),
            f"{look.mean:+.4f}",
            "-" if look.interval is None else f"[{look.interval[0]:+.4f}, {look.interval[1]:+.4f}]",
            "-" if look.level is None else f"{look.level:.2g}",
            look.outcome,
        ]
        for comparison in path.comparisons
        for look in comparison.looks
    ]


def title_of(path: ExperimentPath) -> str:
    """The verdicts of an experiment in one line."""
    texts = {claim.id: claim.text for claim in path.claims}
    return "; ".join(f"{texts.get(claim, claim)} {outcome}" for claim, outcome in path.verdicts.items())


def to_markdown(paths: Sequence[ExperimentPath]) -> str:
    """All paths; empty without any."""
    lines = ["", "## Run until they decided", "", ABOUT] if paths else []
    for path in paths:
        lines += ["", f"**{escape.markdown(title_of(path))}** (error level {path.level:g})", ""]
        lines += [markdown_row(HEADINGS), markdown_rule(len(HEADINGS), left=2), *map(markdown_row, rows(path))]
    return "".join(f"{line}\n" for line in lines)
