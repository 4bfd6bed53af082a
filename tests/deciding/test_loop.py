"""The loop, with runs that take no time."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from lnbench.deciding.budget import Budget
from lnbench.deciding.contest import Course, contests
from lnbench.deciding.experiment import Experiment
from lnbench.deciding.loop import BROKEN, DECIDED, EXHAUSTED, SPENT, TOO_SMALL, UNFIT, run_until_decided
from lnbench.deciding.question import read_questions
from lnbench.deciding.runs import Run
from lnbench.report.claims.looks import levels, sizes
from tests.deciding.fake_runs import FakeRuns

TASKS = ["mrpc", "sst2"]
QUIET, LOUD = {"mrpc": 0.3, "sst2": 0.3}, {"mrpc": 1.2, "sst2": 0.6}
BETTER = {"ln": 3.0, "bitfit": 0.0, "prefix": 0.0}
ALIKE = {"ln": 0.0, "bitfit": 0.0, "prefix": 0.0}
FREE = Budget(None, None)


def experiment(runs: FakeRuns, *questions: str, most: int = 40, tasks: Sequence[str] = TASKS) -> Experiment:
    claims = read_questions(questions or ["ln better than bitfit"])
    return Experiment(tuple(claims), tuple(contests(claims, tasks, runs)), runs, 0.05, most)


def decide(runs: FakeRuns, *questions: str, budget: Budget = FREE, **more: Any) -> tuple[list[Course], str]:
    return run_until_decided(experiment(runs, *questions, **more), budget, lambda courses: None)


@pytest.mark.parametrize(
    ("means", "outcome"),
    [(BETTER, "supported"), ({"ln": -3.0, "bitfit": 0.0}, "contradicted"), (ALIKE, "no difference that matters")],
)
def test_a_comparison_goes_on_until_it_is_decided_and_no_further(means: dict[str, float], outcome: str) -> None:
    runs = FakeRuns(means, QUIET)
    [course], why = decide(runs)
    assert (course.finding.outcome, why) == (outcome, DECIDED)
    assert [look.finding.outcome for look in course.looks[:-1]] == ["not decided"] * (len(course.looks) - 1)
    done = sum(map(len, runs.launched))
    assert done == 2 * sum(course.looks[-1].counts.values()), "each run once, and none beyond the last look"


def test_every_look_has_its_size_and_its_level() -> None:
    [course], _ = decide(FakeRuns(ALIKE, LOUD), most=40)
    assert len(course.looks) > 3
    planned = sizes(40)[: len(course.looks)]
    assert [sum(look.counts.values()) for look in course.looks] == [2 * size for size in planned]
    assert [look.finding.level for look in course.looks] == levels(0.05, 1, 40)[: len(course.looks)]


def test_an_interval_is_that_of_its_pairs() -> None:
    """With one task, the paired t-test of the first three seeds, at the level of the first of all looks."""
    runs = FakeRuns(BETTER, LOUD)
    [course], _ = decide(runs, tasks=["sst2"], most=10)
    scores = [[runs.done(Run((f"method={name}",), "sst2", seed)) for seed in range(3)] for name in ("ln", "bitfit")]
    left, right = (np.array([record.metrics["test"]["accuracy"] for record in own]) for own in scores)
    ends = stats.ttest_rel(left, right).confidence_interval(1 - levels(0.05, 1, 10)[0])
    assert course.looks[0].finding.interval == pytest.approx((ends.low, ends.high))


def test_seeds_go_to_the_task_with_the_noise() -> None:
    [course], _ = decide(FakeRuns(ALIKE, {"mrpc": 1.5, "sst2": 0.3}))
    assert course.looks[-1].counts["mrpc"] > 1.5 * course.looks[-1].counts["sst2"]


def test_seeds_go_to_the_task_that_is_cheap() -> None:
    noise = {"mrpc": 0.7, "sst2": 0.7}
    [course], _ = decide(FakeRuns(ALIKE, noise, seconds={"mrpc": 10.0, "sst2": 90.0}))
    assert course.looks[-1].counts["mrpc"] > 1.5 * course.looks[-1].counts["sst2"]


def test_the_same_records_give_the_same_path_in_whatever_order_they_came() -> None:
    runs, others = FakeRuns(ALIKE, LOUD), FakeRuns(ALIKE, LOUD)
    [course], _ = decide(runs)
    every = [Run((f"method={name}",), task, seed) for task in TASKS for name in ("bitfit", "ln") for seed in range(40)]
    others.launch(every[::-1])
    [again], _ = decide(others)
    assert len(others.launched) == 1, "all that is needed is there"
    assert [(look.counts, look.finding.interval) for look in again.looks] == [
        (look.counts, look.finding.interval) for look in course.looks
    ]


def test_comparisons_share_the_level_and_their_runs_and_end_by_themselves() -> None:
    runs = FakeRuns({"ln": 3.0, "bitfit": 0.0, "prefix": 2.9}, LOUD)
    courses, _ = decide(runs, "ln better than bitfit", "ln better than prefix")
    first, second = courses
    assert first.looks[0].finding.level == pytest.approx(levels(0.05, 2, 40)[0])
    assert first.finding.outcome == "supported"
    assert sum(second.looks[-1].counts.values()) > sum(first.looks[-1].counts.values())
    done = [run for runs_of_launch in runs.launched for run in runs_of_launch]
    assert len(done) == len(set(done))
    bitfit = {run for run in done if run.method == ("method=bitfit",)}
    assert len(bitfit) == sum(first.looks[-1].counts.values())


def test_a_number_of_parameters_takes_one_seed_and_no_share_of_the_level() -> None:
    runs = FakeRuns(BETTER, LOUD)
    courses, _ = decide(runs, "ln-beats-bitfit")
    scores, trained = courses
    assert scores.looks[0].finding.level == pytest.approx(levels(0.05, 1, 40)[0])
    assert (trained.finding.outcome, trained.looks[-1].counts) == ("supported", {"mrpc": 1, "sst2": 1})


def test_tasks_of_different_units_are_decided_apart() -> None:
    runs = FakeRuns(BETTER, {"sst2": 0.3, "cola": 0.3})
    courses, _ = decide(runs, tasks=["sst2", "cola"])
    assert [course.finding.tasks for course in courses] == [["cola"], ["sst2"]]
    assert [course.finding.title for course in courses] == [
        "ln better than bitfit in MCC",
        "ln better than bitfit in accuracy",
    ]
    assert courses[0].finding.level == pytest.approx(levels(0.05, 2, 40)[len(courses[0].looks) - 1])


def test_a_time_is_decided_too_and_not_across_hardware() -> None:
    question = "ln worse than bitfit in training time, margin 2"
    [course], _ = decide(FakeRuns({"ln": 10.0, "bitfit": 0.0}, QUIET), question)
    assert course.finding.outcome == "supported"
    [other], why = decide(FakeRuns(BETTER, QUIET, hardware={"ln": "another"}), question)
    assert why == UNFIT
    assert other.problem.startswith("runs on different hardware cannot be compared in train_seconds: another")


def test_times_on_a_busy_machine_decide_nothing() -> None:
    runs = FakeRuns(BETTER, QUIET, waited=6.0)
    courses, why = decide(runs, "ln better than bitfit in training time", "ln better than bitfit")
    assert why == UNFIT
    assert courses[0].problem.startswith("6 pairs of runs cannot be compared in train_seconds: other programs had all")
    assert courses[1].finding.outcome == "supported"


def test_a_budget_of_runs_is_kept_by_whole_pairs_and_the_next_one_goes_on() -> None:
    runs = FakeRuns(ALIKE, LOUD)
    [course], why = decide(runs, budget=Budget(7, None))
    assert (sum(map(len, runs.launched)), why, course.looks) == (6, SPENT, ())
    decide(runs, budget=Budget(10, None))
    assert sum(map(len, runs.launched)) == 16
    [course], why = decide(runs)
    assert why == DECIDED
    [alone], _ = decide(FakeRuns(ALIKE, LOUD))
    assert course.looks[-1].counts == alone.looks[-1].counts


def test_a_budget_without_room_for_a_pair_says_so() -> None:
    """The same command would never go on."""
    runs = FakeRuns(ALIKE, LOUD)
    _, why = decide(runs, budget=Budget(1, None))
    assert (runs.launched, why) == ([], TOO_SMALL)


def test_a_budget_of_hours_starts_with_a_pair_and_then_takes_what_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    runs, now = FakeRuns(ALIKE, LOUD), [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    launch = runs.launch

    def slowly(chosen: Sequence[Run]) -> None:
        launch(chosen)
        now[0] += 60.0 * len(chosen)

    monkeypatch.setattr(runs, "launch", slowly)
    _, why = decide(runs, budget=Budget(None, 10.5 / 60))
    assert why == SPENT
    assert [len(chosen) for chosen in runs.launched] == [2, 8]


def test_what_is_likely_decided_soonest_comes_first() -> None:
    runs = FakeRuns({"ln": 3.0, "bitfit": 0.0, "prefix": 2.4}, LOUD)
    questions = ("ln better than prefix", "ln better than bitfit")
    decide(runs, *questions, budget=Budget(18, None))  # the first look of both
    before = len(runs.launched)
    decide(runs, *questions, budget=Budget(2, None))
    assert {run.method for run in runs.launched[before]} == {("method=ln",), ("method=bitfit",)}


def test_a_claim_that_is_contradicted_needs_no_more_runs(tmp_path: Path) -> None:
    """Its other comparison, in which the methods are alike, would go on for long."""
    file = tmp_path / "claim.yaml"
    sides = "{left: ln, left_is: better, right: bitfit}, {left: ln, left_is: better, right: prefix}"
    file.write_text(f"{{id: ln-is-best, text: LN is the best., where: here, comparisons: [{sides}]}}")
    runs = FakeRuns({"ln": 0.0, "bitfit": 0.0, "prefix": 3.0}, LOUD)
    (alike, worse), why = decide(runs, str(file))
    assert why == DECIDED
    assert worse.finding.outcome == "contradicted"
    assert (alike.finding.outcome, alike.settled, alike.is_open) == ("not decided", True, False)
    assert len(alike.looks) <= len(worse.looks) + 1
    (alone, _), _ = decide(runs, "ln better than bitfit", "ln better than prefix")
    assert (alone.finding.outcome, alone.settled) == ("no difference that matters", False), "each line is a claim"


def test_a_failed_run_stops_its_comparison_alone() -> None:
    lost = Run(("method=bitfit",), "sst2", 1)
    runs = FakeRuns(BETTER, QUIET, failing=[lost])
    courses, why = decide(runs, "ln better than bitfit", "ln better than prefix")
    assert why == BROKEN
    assert courses[0].problem == "a run failed: method=bitfit task=sst2 seed=1"
    assert courses[1].finding.outcome == "supported"
    assert sum(run == lost for chosen in runs.launched for run in chosen) == 1


def test_what_the_seeds_do_not_decide_stays_open() -> None:
    [course], why = decide(FakeRuns(ALIKE, LOUD), most=4)
    assert (course.finding.outcome, why) == ("not decided", EXHAUSTED)
    assert course.looks[-1].counts == {"mrpc": 4, "sst2": 4}
