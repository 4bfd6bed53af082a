"""Verdicts on claims, as Markdown and in a terminal."""

from collections.abc import Iterator, Sequence
from math import exp

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from lnbench.core import escape
from lnbench.core.words import number_of
from lnbench.records.baseline import MARK, marked
from lnbench.report.claims.claims import PERCENT
from lnbench.report.claims.difference import Difference
from lnbench.report.claims.nested import LEAST_SEEDS
from lnbench.report.claims.power import MOST
from lnbench.report.claims.verdicts import Finding, Outcome, Verdict
from lnbench.report.tables.formats import markdown_commands, markdown_row, markdown_rule, show_commands

SIGNS: dict[Outcome, str] = {
    "supported": "✔",
    "contradicted": "✘",
    "no difference that matters": "≈",
    "not decided": "?",
}
OF_CLAIMS: tuple[Outcome, ...] = ("supported", "contradicted", "not decided")
"""Outcomes of a whole claim."""
COLOURS: dict[Outcome, str] = {
    "supported": "green",
    "contradicted": "red",
    "no difference that matters": "blue",
    "not decided": "yellow",
}
HEADINGS = (
    "",
    "comparison",
    "on these tasks",
    "with other test rows",
    "on tasks like these",
    "P(left better)",
    "pairs",
    "to decide",
)
EXPLANATION = (
    "Each comparison uses pairs of runs with the same task, model, seed and other settings; for costs, also with "
    "the same hardware. For scores, differences are left - right, and tasks with different units or scales are "
    "judged separately. For forgetting, they are left - right in nats a token. For all other quantities they are "
    "left ÷ right. On these tasks: the mean of the tasks' mean differences, where only the seeds are random. With "
    "a probability of 95%, all intervals of this column are right (Welch and Satterthwaite's t, Bonferroni's "
    "correction over all comparisons here). They give the verdicts. ✔ and ✘: the interval excludes no difference. "
    "≈: no difference that matters, by two one-sided tests. The margin is 1 point of the metric, 0.01 nats or "
    f"{PERCENT:g}%, unless the claim sets another one. The next three columns give no verdict. With other test "
    "rows: the interval on these tasks if the test rows are random, too, and their share of the variance; only for "
    "scores that follow from the recorded answers. On tasks like these: the 95% interval of each comparison by "
    "itself, if the tasks were a random sample of many. P(left better): the probability that a run of the left "
    "side has a better score than one of the right side, averaged over the tasks, and its 95% interval. To decide: "
    "the number of further seeds of each task that decide with a probability of 80%, if the means and variances so "
    "far are the true ones, and the hours of their runs one after the other. The intervals are valid if the data "
    f"are looked at once; python -m lnbench.decide looks often. Tasks with fewer than {LEAST_SEEDS} pairs are left "
    f"out, unless all have so few. {MARK}: some of these runs are no better than the majority baseline, or another "
    "answer that ignores the input."
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
        lines += ["", f"{verdict.outcome.capitalize()}: {escape.markdown(verdict.why)}."] if verdict.why else []
        lines += markdown_commands(verdict.commands)
    return "\n".join(lines) + "\n"


def show(console: Console, verdicts: Sequence[Verdict]) -> None:
    """Prints the claims with their comparisons, and the reason and the missing runs of those that are not decided.

    Claims without any runs to judge them by have one line each.
    """
    console.print(Text("Claims", "bold"))
    for verdict in [one for one in verdicts if one.has_pairs]:
        colour = COLOURS[verdict.outcome]
        head = f"{SIGNS[verdict.outcome]} {verdict.outcome:<13}"
        console.print(Text.assemble((head, f"bold {colour}"), verdict.claim.text, (f"  {verdict.claim.where}", "dim")))
        console.print(_grid(verdict.findings))
        if verdict.why:
            console.print(Text(f"    {escape.printable(verdict.why)}", "yellow"))
        show_commands(console, verdict.commands, indent="    ")
    if without := [one for one in verdicts if not one.has_pairs]:
        title = "Claims without runs; claims.md has the commands that do them"
        console.print(Text(title, f"bold {COLOURS['not decided']}"))
        for verdict in without:
            console.print(Text(f"{SIGNS['not decided']} {escape.printable(verdict.claim.text)}"))
    if len(without) < len(verdicts):
        console.print(Text(EXPLANATION, "dim"))


def cells(finding: Finding) -> list[str]:
    """The numbers of a finding, in the order of `HEADINGS`."""
    found = finding.difference
    start = [SIGNS[finding.outcome], finding.title]
    if found is None:
        return [*start, "-", "-", "-", "-", "0 pairs", "-"]
    return [
        *start,
        _amount(finding, found.mean, *(finding.interval or ())),
        _on_other_rows(finding),
        _interval(finding, finding.elsewhere),
        "-" if finding.improvement is None else finding.improvement.written(2),
        marked(_pairs(finding, found), bool(finding.pairs["no_better"].any())),
        _to_decide(finding),
    ]


def _pairs(finding: Finding, found: Difference) -> str:
    """The numbers of tasks and pairs, such as `3 tasks x 5 to 9 seeds`."""
    least, most = min(found.counts.values()), max(found.counts.values())
    seeds = number_of(least, "seed") if least == most else f"{least} to {most} seeds"
    tasks = ", ".join(finding.tasks) if finding.apart else number_of(len(finding.tasks), "task")
    cells = f" in {number_of(len(found.counts), 'setting')}" if len(found.counts) > len(finding.tasks) else ""
    few = sorted({task for task, *_ in found.few} - set(finding.tasks))
    return f"{tasks}{cells} x {seeds}" + (f", without {', '.join(few)}" if few else "")


def _to_decide(finding: Finding) -> str:
    if finding.more is None or finding.hours is None:
        return f"more than {MOST:,} seeds" if finding.outcome == "not decided" and finding.interval else "-"
    return f"{number_of(finding.more, 'seed')} more, {finding.hours:.2g} h"


def _on_other_rows(finding: Finding) -> str:
    """The interval, and the share of the test rows in its variance."""
    if finding.on_other_rows is None or finding.share_of_rows is None:
        return "-"
    return f"{_interval(finding, finding.on_other_rows)}, rows {finding.share_of_rows:.0%}"


def _interval(finding: Finding, ends: tuple[float, float] | None) -> str:
    """An interval without a mean."""
    return "-" if ends is None else _amount(finding, 0.0, *ends).partition(" ")[2]


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
        sign, title, here, other_rows, elsewhere, improvement, pairs, more = cells(finding)
        colour = COLOURS[finding.outcome]
        told = [
            pairs,
            *([f"other test rows {other_rows}"] if other_rows != "-" else []),
            *([f"tasks like these {elsewhere}"] if elsewhere != "-" else []),
            *([f"P(left better) {improvement}"] if improvement != "-" else []),
            *([more] if more != "-" else []),
        ]
        yield [
            Text(f"    {sign}", colour),
            Text(escape.printable(title)),
            Text(here, colour),
            Text("; ".join(told), "dim"),
        ]
