"""The file that keeps the path of an experiment: what was seen at each look."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from lnbench.core.atomic_files import write_atomically
from lnbench.deciding.contest import Course, Look
from lnbench.deciding.experiment import Experiment
from lnbench.records.files import DECISIONS
from lnbench.records.identity import ID_LENGTH, run_id
from lnbench.report.claims.paths import ExperimentPath, PathLook, PathOfComparison


def write_path(experiment: Experiment, courses: Sequence[Course]) -> Path:
    """Writes the path beside the runs. The same question has the same file, and the same records give the same content.

    Args:
        experiment: what is to be decided.
        courses: all comparisons as far as their runs are done.

    Raises:
        OSError: the file cannot be written.
    """
    content = ExperimentPath(
        claims=list(experiment.claims),
        level=experiment.level,
        most_seeds=experiment.most_seeds,
        verdicts={verdict.claim.id: verdict.outcome for verdict in experiment.verdicts(courses)},
        comparisons=[_course(experiment, course) for course in courses],
    )
    path = experiment.runs.folder / DECISIONS / f"{_name(experiment, content)}.json"
    write_atomically(path, content.model_dump_json(indent=1) + "\n")
    return path


def _name(experiment: Experiment, content: ExperimentPath) -> str:
    """A name that is equal for equal questions to equal runs."""
    question = content.model_dump_json(include={"claims", "level", "most_seeds"})
    pairs = [pair for contest in experiment.contests for pair in contest.pairs([1] * len(contest.arms))]
    first = sorted({run_id(experiment.runs.config(run)) for pair in pairs for run in pair})
    return hashlib.sha256("\n".join([question, *first]).encode()).hexdigest()[:ID_LENGTH]


def _course(experiment: Experiment, course: Course) -> PathOfComparison:
    finding = course.finding
    return PathOfComparison(
        claim=experiment.claims[course.contest.claim].id,
        comparison=finding.title,
        unit=finding.metric.unit if finding.metric else finding.comparison.quantity,
        margin=finding.margin if course.looks else None,
        outcome=finding.outcome,
        problem=course.problem,
        open=course.is_open,
        looks=[_look(look) for look in course.looks],
    )


def _look(look: Look) -> PathLook:
    finding = look.finding
    assert finding.difference
    return PathLook(
        seeds=look.counts,
        level=None if finding.interval is None else finding.level,
        mean=finding.difference.mean,
        interval=finding.interval,
        outcome=finding.outcome,
    )
