"""Tables and verdicts as Markdown in which names and texts of any origin are shown as they are."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from lnbench.report import formats
from lnbench.report.formats import markdown_row, markdown_rule
from lnbench.report.judgement import EXPLANATION, HEADINGS, SIGNS, cells
from lnbench.report.table import Table
from lnbench.report.verdicts import Verdict

CLAIMS = ("", "claim", "where", "verdict", "why")
PUNCTUATION = re.compile(r"([!-/:-@\[-`{}~])")
"""All of ASCII but `|`, which has a meaning in rows only and is escaped with them."""


def escape(text: str) -> str:
    """A text on one line, in which no Markdown, HTML or formula is read."""
    return PUNCTUATION.sub(r"\\\1", " ".join(text.split()))


def table_markdown(table: Table) -> str:
    """A table under its title, with its notes."""
    harmless = replace(
        table,
        title=escape(table.title),
        columns=[escape(heading) for heading in table.columns],
        rows=[[replace(cell, text=escape(cell.text)) for cell in row] for row in table.rows],
        notes=[escape(note) for note in table.notes],
        commands=[],
    )
    return formats.to_markdown(harmless)


def claims_markdown(verdicts: Sequence[Verdict]) -> str:
    """One row a claim."""
    rows = [(SIGNS[one.outcome], one.claim.text, one.claim.where, one.outcome, one.why) for one in verdicts]
    return _grid(CLAIMS, rows, left=len(CLAIMS))


def comparisons_markdown(verdicts: Sequence[Verdict]) -> str:
    """What was compared for each claim, with the numbers."""
    lines = [escape(EXPLANATION)]
    for verdict in verdicts:
        rows = [cells(finding) for finding in verdict.findings]
        lines += [f"**{escape(verdict.claim.text)}**", _grid(HEADINGS, rows, left=2)]
    return "\n\n".join(lines)


def _grid(headings: Sequence[str], rows: Iterable[Sequence[str]], left: int) -> str:
    lines = [markdown_row(map(escape, row)) for row in (headings, *rows)]
    return "\n".join([lines[0], markdown_rule(len(headings), left), *lines[1:]])
