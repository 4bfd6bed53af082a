"""Does runs until all claims are decided, or until the budget is spent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from lnbench.deciding.budget import Budget
from lnbench.deciding.contest import Course
from lnbench.deciding.experiment import Experiment
from lnbench.deciding.runs import Run

DECIDED = "All claims are decided."
EXHAUSTED = "What is open stays open with these seeds; --seeds-max allows more."
SPENT = "The budget is spent. The same command goes on."
TOO_SMALL = "The budget is too small for the next pair of runs, so nothing is run; a larger one goes on."
BROKEN = "What is open lacks runs that failed."
UNFIT = "What is open has runs that cannot be compared."


def run_until_decided(
    experiment: Experiment, budget: Budget, tell: Callable[[Sequence[Course]], None]
) -> tuple[list[Course], str]:
    """Does the next runs of all open comparisons and looks at the data, until nothing is open or the budget is spent.

    Args:
        experiment: what is to be decided.
        budget: what it may cost.
        tell: function that is called with all comparisons before each launch.

    Returns:
        The comparisons as they stand at the end, and why it has ended.

    Raises:
        KeyboardInterrupt: Ctrl-C or SIGTERM came.
    """
    failed: set[Run] = set()
    too_little = TOO_SMALL
    while True:
        courses = [_blocked(course, failed) for course in experiment.courses()]
        if not any(course.is_open for course in courses):
            return courses, _end(courses)
        chosen = budget.within(experiment.wanted(courses), experiment.runs)
        if not chosen:
            return courses, too_little
        tell(courses)
        experiment.runs.launch(chosen)
        too_little = SPENT
        records = [experiment.runs.record(run) for run in chosen]
        budget.spent(len(chosen), sum(record.cost.total_seconds for record in records if record))
        failed |= {run for run, record in zip(chosen, records, strict=True) if record is None}


def _blocked(course: Course, failed: set[Run]) -> Course:
    """The comparison, which cannot go on if one of its runs has failed."""
    lost = [run for pair in course.wanted for run in pair if run in failed]
    return replace(course, problem=f"a run failed: {' '.join(lost[0].overrides)}") if lost else course


def _end(courses: Sequence[Course]) -> str:
    left = [course for course in courses if course.finding.outcome == "not decided" and not course.settled]
    if problems := [course for course in left if course.problem]:
        return BROKEN if any(course.wanted for course in problems) else UNFIT
    return EXHAUSTED if left else DECIDED
