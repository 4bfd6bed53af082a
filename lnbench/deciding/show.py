"""Shows an experiment in the terminal."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lnbench.core.escape import printable
from lnbench.core.words import number_of
from lnbench.deciding.contest import Course
from lnbench.deciding.experiment import Experiment
from lnbench.report.claims.judgement import COLOURS, OF_CLAIMS, SIGNS, cells
from lnbench.report.claims.verdicts import Finding, Verdict

HEADINGS = ("", "comparison", "on these tasks", "pairs", "to decide")


def show_courses(console: Console, experiment: Experiment, courses: Sequence[Course], title: str) -> None:
    """Prints where each comparison stands: its last interval, its pairs, and what is likely still needed.

    Args:
        console: console to print to.
        experiment: what is to be decided.
        courses: all comparisons as far as their runs are done.
        title: line above the table.
    """
    console.print(Text(title), soft_wrap=True)
    table = Table(*HEADINGS, box=None, padding=(0, 2, 0, 0))
    for course in courses:
        finding = course.finding
        sign, name, here, *_, pairs, _ = cells(finding)
        colour = COLOURS[finding.outcome]
        table.add_row(
            Text(sign, colour),
            Text(printable(name)),
            Text(here, colour),
            Text(pairs),
            Text(printable(_left(experiment, course))),
        )
    console.print(table)


def show_plan(console: Console, experiment: Experiment, courses: Sequence[Course]) -> None:
    """Prints the runs that come next, and what each open comparison likely needs and how it likely ends."""
    show_courses(console, experiment, courses, f"{experiment.about}. Nothing is run.")
    lacking = experiment.lacking(experiment.wanted(courses))
    console.print(f"Next: {number_of(len(lacking), 'run')}{_hours(experiment.seconds(lacking))}", soft_wrap=True)
    for run in lacking:
        console.print(Text(f"  {' '.join(run.overrides)}"), soft_wrap=True)
    console.print(
        f"At most {number_of(experiment.most_runs(courses), 'run')}, if nothing is decided before.", soft_wrap=True
    )


def show_end(console: Console, experiment: Experiment, courses: Sequence[Course], why: str) -> None:
    """Prints the last state of all comparisons, the verdict on each claim, and why the experiment has ended.

    Args:
        console: console to print to.
        experiment: what was to be decided.
        courses: all comparisons as far as their runs are done.
        why: reason for the end.
    """
    show_courses(console, experiment, courses, f"{experiment.about}.")
    for verdict in experiment.verdicts(courses):
        _show_verdict(console, verdict)
    console.print(Text(why), soft_wrap=True)


def _show_verdict(console: Console, verdict: Verdict) -> None:
    assert verdict.outcome in OF_CLAIMS
    head = f"{SIGNS[verdict.outcome]} {verdict.outcome}"
    why = f" ({printable(verdict.why)})" if verdict.why and verdict.outcome == "contradicted" else ""
    console.print(Text.assemble((head, f"bold {COLOURS[verdict.outcome]}"), f"  {verdict.claim.text}{why}"))


def _left(experiment: Experiment, course: Course) -> str:
    """What is likely still needed, and how it likely ends."""
    if course.settled:
        return "not needed: the claim is contradicted"
    if course.problem:
        return course.problem
    if course.is_open and not course.looks:
        return f"{number_of(len(experiment.lacking(course.wanted)), 'run')} to begin with"
    if course.finding.outcome != "not decided":
        return course.finding.outcome
    if not course.is_open:
        return course.finding.why
    runs = experiment.to_decide(course)
    if runs is None:
        return f"likely open after {number_of(experiment.most_seeds, 'seed')}"
    return f"about {number_of(len(runs), 'run')}{_hours(experiment.seconds(runs))}, likely {_likely(course.finding)}"


def _likely(finding: Finding) -> str:
    """The likelier decision if the mean difference is the true one."""
    assert finding.difference
    size = finding.sign * finding.difference.mean
    if finding.margin is not None and abs(size) < finding.margin / 2:
        return "no difference that matters"
    return "supported" if (size > 0) == (finding.comparison.left_is == "better") else "contradicted"


def _hours(seconds: float | None) -> str:
    return "" if seconds is None else f" ({seconds / 3600:.2g} h one after the other)"
