import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from scipy import stats

from lnbench.records.record import Record, Retention, Selection
from lnbench.records.shift import NormShift
from lnbench.report.claims.claims import Claim, Comparison, Side, read_claims
from lnbench.report.claims.judgement import HEADINGS, cells, to_markdown
from lnbench.report.claims.pairs import at_best_rate
from lnbench.report.claims.power import seeds_to_decide
from lnbench.report.claims.verdicts import Outcome, Verdict, judge
from lnbench.report.load import frame
from tests.report.builders import finished, loaded

SHIPPED = {claim.id: claim for claim in read_claims()}
LAYERS = 6
SHIFT = [NormShift(layer=LAYERS, norm="ffn", term="gain", mean_abs=0.1, max_abs=0.2, relative=None)]
"""By which a report knows the number of layers."""
OUTCOMES: dict[Outcome, float] = {"supported": 1.0, "contradicted": -1.0, "not decided": 0.0}
NOISE = 0.004
LOUD = {"not decided": 0.05}
"""Noise with which runs do not even show that a difference does not matter."""
TRAINED = {"ln": 9_216, "bitfit": 25_344}
PAIRS, TO_DECIDE = (HEADINGS.index(heading) for heading in ("pairs", "to decide"))


def runs_of(
    side: Side,
    shift: float,
    seed: int = 0,
    tasks: tuple[str, ...] = ("rte", "cb"),
    sigma: float = NOISE,
    seeds: int = 3,
    **more: Any,
) -> Iterator[Record]:
    """Three seeds on each task, `shift` better than others in score and time, with some noise."""
    noise = random.Random(f"{side}{seed}")
    for task in tasks:
        for run in range(seeds):
            settings = side.resolved(LAYERS)
            score, seconds = 0.7 + shift + noise.gauss(0, sigma), 100 * (1 - shift) * (1 + noise.gauss(0, sigma))
            cost = {"train_seconds": seconds}
            yield finished(side.method, task, run, score, settings=settings, cost=cost, shift=SHIFT, **more)


def judged(claims: list[Claim], *records: Record) -> list[Verdict]:
    return judge(claims, loaded(*records), frame(records))


def as_if(claim: Claim, outcome: Outcome) -> list[Record]:
    """Runs of all sides of a claim: the left ones better or worse by a tenth, or by no more than noise."""
    sides: dict[str, tuple[Side, float]] = {}
    for comparison in claim.comparisons:
        direction = 0.1 if comparison.left_is == "better" else -0.1
        sides |= {right.name: (right, 0.0) for right in comparison.right}
        sides[comparison.left.name] = (comparison.left, OUTCOMES[outcome] * direction)
    loud = LOUD.get(outcome, NOISE)
    return [record for side, shift in sides.values() for record in runs_of(side, shift, sigma=loud)]


@pytest.mark.parametrize("outcome", OUTCOMES)
@pytest.mark.parametrize("claim", SHIPPED.values(), ids=SHIPPED)
def test_every_claim_can_come_out_each_way(claim: Claim, outcome: Outcome) -> None:
    [verdict] = judged([claim], *as_if(claim, outcome))
    assert verdict.outcome == outcome
    assert bool(verdict.why) == (outcome == "not decided")
    assert len(verdict.findings) == sum(len(comparison.right) for comparison in claim.comparisons)
    tested = [finding for finding in verdict.findings if finding.comparison.quantity != "trained"]
    for finding in tested:
        assert finding.difference
        assert (finding.difference.n, len(finding.tasks)) == (6, 2)
        assert finding.interval
        assert finding.elsewhere
        assert (finding.more is not None) == (finding.outcome == "not decided")
    assert not verdict.commands, "nothing is missing"


@pytest.mark.parametrize("claim", SHIPPED.values(), ids=SHIPPED)
def test_without_its_runs_a_claim_is_not_decided_and_the_commands_are_told(claim: Claim) -> None:
    [verdict] = judged([claim], finished("lora", shift=SHIFT))
    assert verdict.outcome == "not decided"
    assert verdict.why.startswith("no runs of ")
    lines = "\n".join(verdict.commands)
    for comparison in claim.comparisons:
        for side in (comparison.left, *comparison.right):
            assert side.name in verdict.why
            assert side.method in lines
    assert "task=rte seed=0,1,2" in lines
    assert ("method.ln.layers=4-6" in lines) == ("upper half" in verdict.why)


COMPARISON = Comparison(left=Side(method="ln"), right=[Side(method="bitfit")], left_is="better")
CLAIM = Claim(id="x", text="x", where="x", comparisons=[COMPARISON])
LN, BITFIT = Side(method="ln"), Side(method="bitfit")


def test_two_pairs_are_too_few_and_the_third_is_named() -> None:
    records = [
        finished(method, seed=seed, score=0.5 + 0.1 * (method == "ln"))
        for method in ("ln", "bitfit")
        for seed in (4, 7)
    ]
    [verdict] = judged([CLAIM], *records)
    assert verdict.outcome == "not decided"
    assert verdict.why == "2 of at least 3 pairs of runs that differ in nothing else"
    assert verdict.findings[0].interval is None
    assert verdict.commands == ["python -m lnbench -m method=ln,bitfit task=rte seed=0 model=minilm runs_dir=runs"]


def test_runs_in_different_settings_are_no_pairs() -> None:
    records = [*runs_of(LN, 0.1), *runs_of(BITFIT, 0.0, config={"trainer.max_epochs": 20})]
    [verdict] = judged([CLAIM], *records)
    assert verdict.why == "no two runs that differ in nothing else"
    assert verdict.commands


def test_times_on_different_hardware_are_no_pairs_and_scores_are() -> None:
    other = {"device": "gpu", "gpu": "H100"}
    records = [*runs_of(LN, 0.1), *runs_of(BITFIT, 0.0, hardware=other)]
    times = CLAIM.model_copy(update={"comparisons": [COMPARISON.model_copy(update={"quantity": "train_seconds"})]})
    scores, seconds = judged([CLAIM, times], *records)
    assert scores.outcome == "supported"
    assert seconds.why == "no two runs that differ in nothing else"


def test_times_of_runs_that_waited_for_other_programs_decide_nothing_and_scores_do() -> None:
    records = [*runs_of(LN, 0.1), *runs_of(BITFIT, 0.0)]
    times = CLAIM.model_copy(update={"comparisons": [COMPARISON.model_copy(update={"quantity": "train_seconds"})]})
    assert [one.outcome for one in judged([CLAIM, times], *map(waiting(0.04), records))] == ["supported"] * 2
    scores, seconds = judged([CLAIM, times], *map(waiting(0.06), records))
    assert scores.outcome == "supported"
    assert (seconds.outcome, seconds.has_pairs, seconds.commands) == ("not decided", False, [])
    assert seconds.why.startswith("12 runs left out: other programs had all cores meanwhile")
    assert "rerun=true" in seconds.why
    disturbed = [*records[:2], *records[3:5]]
    [some] = judged([times], *map(waiting(0.06), disturbed), records[2], *records[5:])
    assert some.findings[0].difference
    assert (some.findings[0].difference.n, some.why[:15]) == (2, "1 of at least 3")
    assert "4 runs left out" in some.why


def waiting(share: float) -> Callable[[Record], Record]:
    """Makes a record that of a run that waited for a share of its training time."""

    def waited(record: Record) -> Record:
        seconds = share * record.cost.train_seconds
        return record.model_copy(update={"cost": record.cost.model_copy(update={"train_waited_seconds": seconds})})

    return waited


def test_one_contradicted_comparison_contradicts_the_whole_claim() -> None:
    both = CLAIM.model_copy(
        update={"comparisons": [COMPARISON.model_copy(update={"right": [BITFIT, Side(method="prefix")]})]}
    )
    [verdict] = judged([both], *runs_of(LN, 0.1), *runs_of(BITFIT, 0.0), *runs_of(Side(method="prefix"), 0.2))
    assert [finding.outcome for finding in verdict.findings] == ["supported", "contradicted"]
    assert verdict.outcome == "contradicted"


def test_a_smaller_loss_is_a_better_score() -> None:
    records = [*runs_of(LN, -0.1, tasks=("samsum",)), *runs_of(BITFIT, 0.0, tasks=("samsum",))]
    [verdict] = judged([CLAIM], *records)
    assert verdict.outcome == "supported"
    assert verdict.findings[0].difference
    assert verdict.findings[0].difference.mean == pytest.approx(-0.1, abs=0.01)


def test_tasks_of_different_units_are_judged_apart() -> None:
    tasks = ("rte", "cb", "cola", "samsum")
    records = [record for side, shift in ((LN, 0.1), (BITFIT, 0.0)) for record in runs_of(side, shift, tasks=tasks)]
    [verdict] = judged([CLAIM], *records)
    assert [finding.tasks for finding in verdict.findings] == [["cb", "rte"], ["cola"], ["samsum"]]
    assert [finding.outcome for finding in verdict.findings] == ["supported", "supported", "contradicted"]
    assert [finding.title for finding in verdict.findings] == [
        "ln better than bitfit in accuracy",
        "ln better than bitfit in MCC",
        "ln better than bitfit in loss",
    ]
    shown = [cells(finding) for finding in verdict.findings]
    assert [row[2].split()[-1] for row in shown] == ["points", "MCC", "nats"]
    assert [row[PAIRS] for row in shown] == ["cb, rte x 3 seeds", "cola x 3 seeds", "samsum x 3 seeds"]
    assert "judged separately" in to_markdown([verdict])


def of_metric(name: str, mode: Literal["max", "min"], method: str, seed: int, score: float) -> Record:
    metrics = {split: {name: score} for split in ("validation", "test")}
    selection = Selection(metric=name, mode=mode, score=score)
    return finished(method, "e2e_nlg", seed, selection=selection, metrics=metrics, config={"model": "gpt2"})


@pytest.mark.parametrize(
    ("metric", "left", "shown"),
    [("bleu", 54.9 + 2.1, "+2.10 BLEU"), ("cider", 1.25, "-53.650 CIDEr"), ("rougeL", 55.4, "+50.00 points")],
)
def test_a_difference_is_written_in_the_unit_of_its_metric(metric: str, left: float, shown: str) -> None:
    records = [
        of_metric(metric, "max", method, seed, score)
        for method, score in (("ln", left), ("bitfit", 54.9))
        for seed in (0, 1)
    ]
    [verdict] = judged([CLAIM], *records)
    assert cells(verdict.findings[0])[2] == shown


def test_only_runs_of_the_same_unit_are_missed() -> None:
    records = [
        *runs_of(LN, 0.1, tasks=("rte", "cola")),
        *runs_of(BITFIT, 0.0, tasks=("rte",)),
        finished("bitfit", "cola"),
    ]
    [verdict] = judged([CLAIM], *records)
    assert verdict.commands == ["python -m lnbench -m method=bitfit task=cola seed=1,2 model=minilm runs_dir=runs"]


def test_noise_does_not_choose_a_learning_rate() -> None:
    def at(rate: float, right: Sequence[int]) -> list[Record]:
        config, scores = {"trainer.lr": rate}, [float(np.float32(count / 408)) for count in right]
        return [finished("ln", seed=seed, score=score, config=config) for seed, score in enumerate(scores)]

    some, others = (328, 225, 349), (321, 265, 316)
    assert sum(some) == sum(others)
    rates = [
        at_best_rate(frame([*at(0.1, first), *at(0.2, second)]))["lr"].unique().tolist()
        for first, second in ((some, others), (others, some))
    ]
    assert rates == [["0.2"], ["0.2"]]


def test_a_learning_rate_without_a_score_is_not_the_best() -> None:
    lost: dict[str, Any] = {"selection": Selection(metric="accuracy", mode="max", score=float("nan"))}
    runs = [finished("ln", config={"trainer.lr": 0.1}), finished("ln", config={"trainer.lr": 0.2}, **lost)]
    assert at_best_rate(frame(runs))["lr"].tolist() == ["0.1"]


def test_pairs_with_a_run_that_is_no_better_than_its_baseline_are_marked() -> None:
    records = [
        finished(method, seed=seed, score=score, baseline={"test": {"accuracy": 0.6}})
        for seed in range(3)
        for method, score in (("ln", 0.8 + seed / 10), ("bitfit", 0.6))
    ]
    [verdict] = judged([CLAIM], *records)
    assert cells(verdict.findings[0])[PAIRS] == "1 task x 3 seeds †"
    better = [record.model_copy(update={"baseline": {"test": {"accuracy": 0.599}}}) for record in records]
    assert cells(judged([CLAIM], *better)[0].findings[0])[PAIRS] == "1 task x 3 seeds"


def test_the_level_is_divided_by_the_number_of_all_comparisons_of_all_claims() -> None:
    records = [*runs_of(LN, 0.1), *runs_of(BITFIT, 0.0)]
    [alone], several = judged([CLAIM], *records), judged([CLAIM] * 5, *records)
    assert (alone.findings[0].level, several[0].findings[0].level) == pytest.approx((0.05, 0.01))
    low, high = several[4].findings[0].interval or (0, 0)
    pairs = alone.findings[0].pairs
    rte, cb = (pairs.loc[pairs["task"] == task, "difference"].to_numpy() for task in ("rte", "cb"))
    welch = stats.ttest_ind(rte, -cb, equal_var=False).confidence_interval(0.99)
    assert (low, high) == pytest.approx((welch.low / 2, welch.high / 2))


def test_seeds_are_nested_in_tasks() -> None:
    """Nine pairs of three tasks that disagree: surely better on these tasks, and nothing follows for others."""
    shifts = {"rte": 0.30, "cb": 0.01, "sst2": 0.10}
    left = [record for task, shift in shifts.items() for record in runs_of(LN, shift, tasks=(task,))]
    [verdict] = judged([CLAIM], *left, *runs_of(BITFIT, 0.0, tasks=tuple(shifts)))
    finding = verdict.findings[0]
    means = finding.pairs.groupby("task")["difference"].mean().to_numpy()
    ends = stats.ttest_1samp(means, 0).confidence_interval()
    assert finding.outcome == "supported"
    assert finding.elsewhere == pytest.approx((ends.low, ends.high))
    assert ends.low < 0 < ends.high
    assert finding.difference
    assert finding.difference.mean == pytest.approx(means.mean())


def test_a_task_with_more_seeds_counts_no_more_than_another() -> None:
    records = [
        *runs_of(LN, 0.1, tasks=("rte",), seeds=8),
        *runs_of(LN, 0.2, tasks=("cb",)),
        *runs_of(BITFIT, 0.0, seeds=8),
    ]
    finding = judged([CLAIM], *records)[0].findings[0]
    assert finding.difference
    assert finding.difference.mean == pytest.approx(0.15, abs=0.01)
    assert cells(finding)[PAIRS] == "2 tasks x 3 to 8 seeds"


def test_settings_of_one_task_share_the_weight_of_the_task() -> None:
    other = {"trainer.max_epochs": 20}
    records = [
        *runs_of(LN, 0.1),
        *runs_of(BITFIT, 0.0),
        *runs_of(LN, 0.3, tasks=("rte",), config=other),
        *runs_of(BITFIT, 0.0, tasks=("rte",), config=other),
    ]
    finding = judged([CLAIM], *records)[0].findings[0]
    assert finding.difference
    assert finding.difference.mean == pytest.approx((0.1 + (0.1 + 0.3) / 2) / 2, abs=0.01)
    assert cells(finding)[PAIRS] == "2 tasks in 3 settings x 3 seeds"


def test_a_task_with_too_few_pairs_is_left_out_and_does_not_stop_the_others() -> None:
    records = [*runs_of(LN, 0.1), *runs_of(BITFIT, 0.0), finished("ln", "sst2"), finished("bitfit", "sst2")]
    [verdict] = judged([CLAIM], *records)
    assert verdict.outcome == "supported"
    assert verdict.findings[0].tasks == ["cb", "rte"]
    assert not verdict.commands


def test_with_few_pairs_on_every_task_the_least_is_told() -> None:
    records = [*runs_of(LN, 0.1, seeds=2), *runs_of(BITFIT, 0.0, seeds=2)]
    [verdict] = judged([CLAIM], *records)
    assert verdict.why == "2 of at least 3 pairs of runs that differ in nothing else on cb, rte"
    assert verdict.commands


def test_equal_differences_cannot_be_tested() -> None:
    records = [
        finished(method, seed=seed, score=score)
        for method, score in (("ln", 0.6), ("bitfit", 0.5))
        for seed in range(5)
    ]
    [verdict] = judged([CLAIM], *records)
    assert verdict.why == "all 5 pairs differ by the same amount, which cannot be tested"


def claim_with(**changes: Any) -> Claim:
    return Claim.model_validate({**CLAIM.model_dump(), **changes})


def test_a_claim_of_a_difference_that_does_not_matter_is_contradicted_and_says_why() -> None:
    quiet = [*runs_of(LN, 0.0, sigma=0.0005), *runs_of(BITFIT, 0.0, sigma=0.0005)]
    [verdict] = judged([CLAIM], *quiet)
    assert [finding.outcome for finding in verdict.findings] == ["no difference that matters"]
    assert verdict.outcome == "contradicted"
    assert verdict.why == "there is no difference that matters in ln better than bitfit"
    assert "Contradicted: there is no difference that matters in ln better than bitfit." in to_markdown([verdict])
    assert cells(verdict.findings[0])[0] == "≈"


@pytest.mark.parametrize(
    ("shift", "margin", "outcome"),
    [
        (0.008, None, "no difference that matters"),
        (0.008, 0.5, "supported"),
        (0.02, None, "supported"),
        (0.02, 3, "no difference that matters"),
    ],
)
def test_the_margin_of_a_claim_says_what_matters(shift: float, margin: float | None, outcome: Outcome) -> None:
    quiet = [*runs_of(LN, shift, sigma=0.0005), *runs_of(BITFIT, 0.0, sigma=0.0005)]
    assert judged([claim_with(margin=margin)], *quiet)[0].findings[0].outcome == outcome
    [one] = CLAIM.comparisons
    own = claim_with(margin=50, comparisons=[{**one.model_dump(), "margin": margin or 1}])
    assert judged([own], *quiet)[0].findings[0].outcome == outcome, "that of the comparison comes first"


@pytest.mark.parametrize(("shift", "margin", "outcome"), [(0.03, None, "≈"), (0.03, 2, "✔"), (0.08, None, "✔")])
def test_times_differ_by_percent(shift: float, margin: float | None, outcome: str) -> None:
    times = {"left": "ln", "right": "bitfit", "left_is": "better", "quantity": "train_seconds", "margin": margin}
    quiet = [*runs_of(LN, shift, sigma=0.0005), *runs_of(BITFIT, 0.0, sigma=0.0005)]
    assert cells(judged([claim_with(comparisons=[times])], *quiet)[0].findings[0])[0] == outcome


def test_what_is_open_says_how_many_seeds_decide_it_and_what_they_cost() -> None:
    cost = {"total_seconds": 90.0}
    records = [
        finished(method, task, seed, score=0.7 + random.Random(f"{method}{task}{seed}").gauss(0, 0.05), cost=cost)
        for method in ("ln", "bitfit")
        for task in ("rte", "cb")
        for seed in range(4)
    ]
    finding = judged([CLAIM], *records)[0].findings[0]
    assert finding.outcome == "not decided"
    assert finding.difference
    assert finding.difference.cells
    assert finding.more == seeds_to_decide(finding.difference.cells, finding.difference.weights, 0.05, 0.01)
    assert finding.hours == pytest.approx((finding.more or 0) * 2 * 180 / 3600)
    assert cells(finding)[TO_DECIDE] == f"{finding.more} seeds more, {finding.hours:.2g} h"


def test_a_metric_without_a_scale_needs_a_margin_of_its_own() -> None:
    def judged_with(margin: float | None) -> str:
        records = [
            of_metric("nist", "max", method, seed, 5 + 0.001 * ((seed + (method == "ln")) % 2))
            for method in ("ln", "bitfit")
            for seed in range(4)
        ]
        return judged([claim_with(margin=margin)], *records)[0].findings[0].outcome

    assert judged_with(None) == "not decided"
    assert judged_with(0.5) == "no difference that matters"


def test_of_several_learning_rates_the_one_that_validated_best_is_compared() -> None:
    worse = runs_of(LN, -0.1, seed=1, config={"trainer.lr": 0.5})
    [verdict] = judged([CLAIM], *runs_of(LN, 0.1), *worse, *runs_of(BITFIT, 0.0))
    assert verdict.outcome == "supported"
    assert verdict.findings[0].pairs["left"].min() > 0.75


def test_a_score_that_is_not_a_number_is_no_pair() -> None:
    records = [*runs_of(LN, 0.1), *runs_of(BITFIT, 0.0)]
    lost = records[0].model_copy(
        update={"metrics": {"validation": {"accuracy": 0.1}, "test": {"accuracy": float("nan")}}}
    )
    [verdict] = judged([CLAIM], lost, *records[1:])
    assert len(verdict.findings[0].pairs) == 5
    assert cells(verdict.findings[0])[PAIRS] == "1 task x 3 seeds, without rte"


def test_a_verdict_reads_as_markdown() -> None:
    scores = {"ln": (0.81, 0.82, 0.83), "bitfit": (0.70, 0.72, 0.71)}  # differences 0.11, 0.10, 0.12
    records = [finished(name, seed=seed, score=score) for name, row in scores.items() for seed, score in enumerate(row)]
    lines = to_markdown(judged([CLAIM], *records)).splitlines()
    assert "| ✔ | x | supported |" in lines
    row = r"| ✔ | ln better than bitfit | +11.00 \[+8.52, +13.48\] points | - | - | 1.00 \[1.00, 1.00\] |"
    assert f"{row} 1 task x 3 seeds | - |" in lines


def test_runs_dir_stands_in_the_commands() -> None:
    records = [finished("ln")]
    [verdict] = judge([CLAIM], loaded(*records, runs_dir=Path("my runs")), frame(records))
    assert all(command.endswith("'runs_dir=my runs'") for command in verdict.commands)


def forgetful(method: str, seed: int, forgetting: float, task: str = "e2e_nlg", **more: Any) -> Record:
    found = Retention(before=3.0, after=3.0 + forgetting, tokens=1_000)
    return finished(method, task, seed, 1.0, retention=found, **more)


def forgets(left: str, right: str, **more: Any) -> Claim:
    comparison = Comparison(left=Side(method=left), right=[Side(method=right)], left_is="better", **more)
    return Claim(id="forgets", text="It forgets less.", where="here", comparisons=[comparison])


@pytest.mark.parametrize(
    ("of_ln", "outcome", "shown"),
    [
        ((-0.02, -0.01, -0.03), "supported", "-0.1200"),
        ((0.2, 0.21, 0.19), "contradicted", "+0.1000"),
        ((0.101, 0.099, 0.1002), "no difference that matters", "+0.0001"),
    ],
)
def test_forgetting_is_compared_by_differences_in_nats_on_any_hardware(
    of_ln: tuple[float, ...], outcome: Outcome, shown: str
) -> None:
    quantity: Any = {"quantity": "forgetting"}
    machines: list[dict[str, Any]] = [{"device": "cpu", "cpu": name, "threads": 1} for name in ("one", "other")]
    records = [
        forgetful(method, seed, value, hardware=machine)
        for method, values, machine in zip(("ln", "full"), (of_ln, (0.1, 0.1, 0.1)), machines, strict=True)
        for seed, value in enumerate(values)
    ]
    [verdict] = judged([forgets("ln", "full", **quantity)], *records)
    (finding,) = verdict.findings
    assert finding.outcome == outcome
    assert cells(finding)[1] == "ln better than full in forgetting"
    assert cells(finding)[2].startswith(f"{shown} [")
    assert cells(finding)[2].endswith("] nats")
    assert finding.margin == 0.01
    [wide] = judged([forgets("ln", "full", margin=50, **quantity)], *records)
    assert (wide.findings[0].margin, wide.findings[0].outcome) == (0.5, "no difference that matters")


def test_runs_that_did_not_measure_forgetting_are_no_pairs() -> None:
    records = [finished(method, "e2e_nlg", seed, 1.0) for method in ("ln", "full") for seed in range(3)]
    quantity: Any = {"quantity": "forgetting"}
    [verdict] = judged([forgets("ln", "full", **quantity)], *records)
    assert not verdict.has_pairs
