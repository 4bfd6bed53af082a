"""Formats tables and verdicts as Markdown for W&B."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from lnbench.core import escape
from lnbench.report.claims.judgement import EXPLANATION, HEADINGS, SIGNS, cells
from lnbench.report.claims.verdicts import Verdict
from lnbench.report.tables import formats
from lnbench.report.tables.formats import markdown_row, markdown_rule
from lnbench.report.tables.table import Table

CLAIMS = ("", "claim", "where", "verdict", "why")


def table_markdown(table: Table) -> str:
    """A table under its title, with its notes."""
    return formats.to_markdown(replace(table, commands=[]))


def claims_markdown(verdicts: Sequence[Verdict]) -> str:
    """One row for each claim."""
    rows = [(SIGNS[one.outcome], one.claim.text, one.claim.where, one.outcome, one.why) for one in verdicts]
    return _grid(CLAIMS, rows, left=len(CLAIMS))


def comparisons_markdown(verdicts: Sequence[Verdict]) -> str:
    """The comparisons of each claim, with their numbers."""
    lines = [escape.markdown(EXPLANATION)]
    for verdict in verdicts:
        rows = [cells(finding) for finding in verdict.findings]
        lines += [f"**{escape.markdown(verdict.claim.text)}**", _grid(HEADINGS, rows, left=2)]
    return "\n\n".join(lines)


def _grid(headings: Sequence[str], rows: Iterable[Sequence[str]], left: int) -> str:
    return "\n".join([markdown_row(headings), markdown_rule(len(headings), left), *map(markdown_row, rows)])
