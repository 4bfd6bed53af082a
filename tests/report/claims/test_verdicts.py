import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from lnbench.records.record import Record, Selection
from lnbench.records.shift import NormShift
from lnbench.report.claims.claims import Claim, Comparison, Side, read_claims
from lnbench.report.claims.judgement import cells, to_markdown
from lnbench.report.claims.pairs import at_best_rate
from lnbench.report.claims.verdicts import Outcome, Verdict, judge
from lnbench.report.load import frame
from tests.report.builders import finished, loaded
from tests.report.claims.test_statistics import MORE, RIGHT

SHIPPED = {claim.id: claim for claim in read_claims()}
LAYERS = 6
SHIFT = [NormShift(layer=LAYERS, norm="ffn", term="gain", mean_abs=0.1, max_abs=0.2, relative=None)]
"""By which a report knows the number of layers."""
OUTCOMES: dict[Outcome, float] = {"supported": 1.0, "contradicted": -1.0, "not decided": 0.0}
TRAINED = {"ln": 9_216, "bitfit": 25_344}


def runs_of(
    side: Side, shift: float, seed: int = 0, tasks: tuple[str, ...] = ("rte", "cb"), **more: Any
) -> Iterator[Record]:
    """Three seeds on each task, `shift` better than others in score and time, with some noise."""
    noise = random.Random(f"{side}{seed}")
    for task in tasks:
        for run in range(3):
            settings = side.resolved(LAYERS)
            score, seconds = 0.7 + shift + noise.gauss(0, 0.004), 100 * (1 - shift) * (1 + noise.gauss(0, 0.004))
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
    return [record for side, shift in sides.values() for record in runs_of(side, shift)]


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
        assert finding.difference.test == "paired t"
        assert finding.p is not None
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
    assert verdict.findings[0].p is None
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
    assert [row[3] for row in shown] == ["6 pairs, cb, rte", "3 pairs, cola", "3 pairs, samsum"]
    assert "judged apart" in to_markdown([verdict])


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


@pytest.mark.parametrize("kind", [np.float64, np.float32])
def test_equal_differences_of_scores_share_a_rank(kind: type[np.floating[Any]]) -> None:
    records = [
        finished(method, "mrpc", seed, float(kind((right + more * (method == "ln")) / 408)))
        for seed, (right, more) in enumerate(zip(RIGHT, MORE, strict=True))
        for method in ("ln", "bitfit")
    ]
    [verdict] = judged([CLAIM], *records)
    assert verdict.findings[0].p == pytest.approx(0.0578, abs=1e-4)


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
    assert cells(verdict.findings[0])[3] == "3 pairs, 1 task †"
    better = [record.model_copy(update={"baseline": {"test": {"accuracy": 0.599}}}) for record in records]
    assert cells(judged([CLAIM], *better)[0].findings[0])[3] == "3 pairs, 1 task"


def test_p_values_are_corrected_for_all_comparisons_of_all_claims() -> None:
    records = [*runs_of(LN, 0.1), *runs_of(BITFIT, 0.0)]
    [alone], several = judged([CLAIM], *records), judged([CLAIM] * 5, *records)
    p = alone.findings[0].p
    assert p is not None
    assert [verdict.findings[0].p for verdict in several] == [pytest.approx(5 * p)] * 5


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
    assert verdict.findings[0].difference
    assert verdict.findings[0].difference.n == 5


def test_a_verdict_reads_as_markdown() -> None:
    scores = {"ln": (0.81, 0.82, 0.83), "bitfit": (0.70, 0.72, 0.71)}  # differences 0.11, 0.10, 0.12
    records = [finished(name, seed=seed, score=score) for name, row in scores.items() for seed, score in enumerate(row)]
    lines = to_markdown(judged([CLAIM], *records)).splitlines()
    assert "| ✔ | x | supported |" in lines
    assert (
        r"| ✔ | ln better than bitfit | +11.00 \[+8.52, +13.48\] points | 3 pairs, 1 task | d\_z +11.00 | 0.003 |"
        in lines
    )


def test_runs_dir_stands_in_the_commands() -> None:
    records = [finished("ln")]
    [verdict] = judge([CLAIM], loaded(*records, runs_dir=Path("my runs")), frame(records))
    assert all(command.endswith("'runs_dir=my runs'") for command in verdict.commands)
