"""Verdicts on claims, as Markdown and in a terminal."""

from collections.abc import Iterator, Sequence
from math import exp

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from lnbench.core import escape
from lnbench.records.baseline import MARK, marked
from lnbench.report.claims.verdicts import LEVEL, Finding, Outcome, Verdict
from lnbench.report.tables.formats import markdown_commands, markdown_row, markdown_rule, show_commands

SIGNS: dict[Outcome, str] = {"supported": "✔", "contradicted": "✘", "not decided": "?"}
COLOURS: dict[Outcome, str] = {"supported": "green", "contradicted": "red", "not decided": "yellow"}
HEADINGS = ("", "comparison", "difference [95% interval]", "n", "effect", "p")
EXPLANATION = (
    "Each comparison is of pairs of runs that agree in task, model, seed and all other settings (and, for costs, in "
    "hardware). Differences of scores are left - right, and tasks whose scores have different units or scales are "
    "judged apart; of all else they are left ÷ right. With 3 to 11 pairs: paired t-test, t interval and Cohen's d_z. "
    "With more: Wilcoxon signed-rank test, BCa bootstrap interval and rank-biserial correlation r. Fewer pairs are not "
    "tested. The p-values are two-sided and corrected by Holm's method over all comparisons made here; below "
    f"{LEVEL} they decide, if the interval excludes no difference, too. {MARK} some of these runs are no better than "
    "the majority baseline, or another answer that ignores the input."
)


def to_markdown(verdicts: Sequence[Verdict]) -> str:
    """All claims with their comparisons, and with the reason and the missing runs of those that are not decided."""
    lines = [
        "# Claims",
        "",
        escape.markdown(EXPLANATION),
        "",
        markdown_row(["", "claim", "verdict"]),
        markdown_rule(3, left=3),
    ]
    lines += [markdown_row([SIGNS[one.outcome], one.claim.text, one.outcome]) for one in verdicts]
    for verdict in verdicts:
        lines += ["", f"## {SIGNS[verdict.outcome]} {escape.markdown(verdict.claim.text)}", ""]
        lines += [f"**{verdict.outcome}**; {escape.markdown(verdict.claim.where)}", ""]
        lines += [markdown_row(HEADINGS), markdown_rule(len(HEADINGS), left=2)]
        lines += [markdown_row(cells(finding)) for finding in verdict.findings]
        lines += ["", f"Not decided: {escape.markdown(verdict.why)}."] if verdict.why else []
        lines += markdown_commands(verdict.commands)
    return "\n".join(lines) + "\n"


def show(console: Console, verdicts: Sequence[Verdict]) -> None:
    """Prints all claims with their comparisons, and the reason and the missing runs of those that are not decided."""
    console.print(Text("Claims", "bold"))
    for verdict in verdicts:
        colour = COLOURS[verdict.outcome]
        head = f"{SIGNS[verdict.outcome]} {verdict.outcome:<13}"
        console.print(Text.assemble((head, f"bold {colour}"), verdict.claim.text, (f"  {verdict.claim.where}", "dim")))
        console.print(_grid(verdict.findings))
        if verdict.why:
            console.print(Text(f"    {escape.printable(verdict.why)}", "yellow"))
        show_commands(console, verdict.commands, indent="    ")
    console.print(Text(EXPLANATION, "dim"))


def cells(finding: Finding) -> list[str]:
    """The numbers of a finding, in the order of `HEADINGS`."""
    found = finding.difference
    start = [SIGNS[finding.outcome], finding.title]
    if found is None:
        return [*start, "-", "0 pairs", "-", "-"]
    tasks = f"{len(finding.tasks)} task{'s' * (len(finding.tasks) != 1)}"
    if finding.apart:
        tasks = ", ".join(finding.tasks)
    count = f"{found.n} pair{'s' * (found.n != 1)}, {tasks}"
    return [
        *start,
        _amount(finding, *(value for value in (found.mean, found.low, found.high) if value is not None)),
        marked(count, bool(finding.pairs["no_better"].any())),
        "-" if found.effect is None else f"{found.effect_name} {found.effect:+.2f}",
        "-" if finding.p is None else (f"{finding.p:.3f}" if finding.p >= 0.001 else "<0.001"),
    ]


def _amount(finding: Finding, mean: float, *interval: float) -> str:
    if metric := finding.metric:
        return metric.difference(mean, *interval)
    shown, *ends = (f"{exp(value):.3f}" for value in (mean, *interval))
    return f"{shown} [{', '.join(ends)}]" if ends else shown


def _grid(findings: Sequence[Finding]) -> RichTable:
    grid = RichTable.grid(padding=(0, 2))
    for row in _rows(findings):
        grid.add_row(*row)
    return grid


def _rows(findings: Sequence[Finding]) -> Iterator[list[Text]]:
    for finding in findings:
        sign, title, difference, pairs, effect, p = cells(finding)
        colour = COLOURS[finding.outcome]
        yield [
            Text(f"    {sign}", colour),
            Text(escape.printable(title)),
            Text(difference, colour),
            *(Text(text, "dim") for text in (pairs, effect, f"p {p}")),
        ]
