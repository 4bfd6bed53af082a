"""The noise of the test rows, from answers whose noise is known."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from lnbench.core.sealed import file_digest
from lnbench.records.files import PREDICTIONS
from lnbench.records.packed import SUFFIX, PackedRun, write_packed
from lnbench.records.record import DataSeen, Record, write_record
from lnbench.report.claims.claims import Claim, Comparison, Side
from lnbench.report.claims.difference import difference_of
from lnbench.report.claims.judgement import HEADINGS, cells
from lnbench.report.claims.nested import Values
from lnbench.report.claims.rows import RESAMPLES, noise_of_rows, resamples, sample_of
from lnbench.report.claims.verdicts import Finding, judge
from lnbench.report.load import frame, load_runs
from lnbench.tasks.base import TASKS, Task
from scripts.simulate_rows import SIDES, comparison, sample
from tests.report.builders import finished, folder_of

METHODS = ("ln", "bitfit")
SEEDS, ROWS = 4, 60
COMPARISON = Comparison(left=Side(method="ln"), right=[Side(method="bitfit")], left_is="better")
CLAIM = Claim(id="x", text="x", where="x", comparisons=[COMPARISON])
CELL = HEADINGS.index("with other test rows")
Numbers = dict[str, list[Any]]
Runs = list[tuple[Record, Numbers]]
Draw = Callable[[int, int], Numbers]


def task_of(record: Record) -> Task:
    return TASKS.parse(record.config["task"], "task")


def new_run(method: str, seed: int, numbers: Numbers, task: str = "rte", fingerprint: str = "f") -> Record:
    """A run whose scores follow from its answers."""
    rows = len(next(iter(numbers.values())))
    data = DataSeen(fingerprint=fingerprint, rows={"train": 9, "validation": 9, "test": rows}, overlap={})
    record = finished(method, task, seed, data=data)
    return record.model_copy(update={"metrics": {**record.metrics, "test": task_of(record).score_numbers(numbers)}})


def classified(method: int, seed: int) -> Numbers:
    """Answers to the same rows, of which each method gets some wrong with most seeds."""
    true = fixed().integers(2, size=ROWS)
    right = random(method, seed).random(ROWS) < np.where(fixed(method).random(ROWS) < 0.75, 0.95, 0.1)
    return {"answer": np.where(right, true, 1 - true).tolist(), "reference": true.tolist()}


def scaled(method: int, seed: int) -> Numbers:
    true = fixed().uniform(0, 5, ROWS)
    said = true + fixed(method).normal(0, 1.5, ROWS) + random(method, seed).normal(0, 0.5, ROWS)
    return {"answer": said.tolist(), "reference": true.tolist()}


def tagged(method: int, seed: int) -> Numbers:
    true, often = fixed().integers(9, size=(ROWS, 5)), fixed(method).integers(9, size=(ROWS, 5))
    wrong = fixed(method).random((ROWS, 1)) < 0.4
    rare = random(method, seed).random((ROWS, 5)) < 0.05
    return {"answer": np.where(wrong | rare, often, true).tolist(), "reference": true.tolist()}


def asked(method: int, seed: int) -> Numbers:
    scores = np.clip(fixed(method).random(ROWS) + random(method, seed).normal(0, 0.1, ROWS), 0, 1)
    return {"answer": [[0, 1]] * ROWS, "exact_match": [0.0] * ROWS, "f1": scores.tolist()}


def generated(method: int, seed: int) -> Numbers:
    tokens = fixed().integers(1, 30, ROWS)
    losses = fixed(method).exponential(2, ROWS) + random(method, seed).exponential(0.2, ROWS)
    return {"nll": (tokens * losses).tolist(), "tokens": tokens.tolist()}


def fixed(*place: int) -> np.random.Generator:
    """Draws what all seeds share."""
    return np.random.default_rng((9, *place))


def random(*place: int) -> np.random.Generator:
    """Draws what differs between seeds."""
    return np.random.default_rng((8, *place))


def runs_of(draw: Draw, task: str = "rte") -> Runs:
    """Runs of both methods with their answers."""
    answers = {(method, seed): draw(place, seed) for place, method in enumerate(METHODS) for seed in range(SEEDS)}
    return [(new_run(method, seed, own, task), own) for (method, seed), own in answers.items()]


def packed(folder: Path, runs: Runs) -> Finding:
    """What a report finds in runs that are in a packed file."""
    write_packed(folder / f"x{SUFFIX}", [PackedRun(record=record, history="", numbers=own) for record, own in runs])
    return found_in(folder)


def found_in(folder: Path) -> Finding:
    loaded = load_runs(folder)
    assert not loaded.problems
    [verdict] = judge([CLAIM], loaded, frame(loaded.records))
    return verdict.findings[0]


def variance(finding: Finding) -> float:
    assert finding.rows is not None
    return float(finding.rows.error) ** 2


def right(numbers: Numbers) -> Values:
    return np.equal(numbers["answer"], numbers["reference"]).astype(float)


def differences(runs: Runs) -> Values:
    """Right answers of the left side less those of the right side, (SEEDS, ROWS)."""
    by_method = [np.stack([right(own) for record, own in runs if record.method == method]) for method in METHODS]
    return by_method[0] - by_method[1]


def test_the_variance_of_an_accuracy_is_that_of_a_two_way_analysis(tmp_path: Path) -> None:
    """The component of the rows in the analysis of variance of seeds x rows without repetition, per row."""
    runs = runs_of(classified)
    table = differences(runs)
    of_rows, of_seeds = table.mean(axis=0), table.mean(axis=1)
    rest = table - of_rows - of_seeds[:, None] + table.mean()
    mean_square = SEEDS * np.square(of_rows - table.mean()).sum() / (ROWS - 1)
    component = (mean_square - np.square(rest).sum() / (SEEDS - 1) / (ROWS - 1)) / SEEDS
    finding = packed(tmp_path, runs)
    assert component > 0
    assert variance(finding) == pytest.approx(component / ROWS)
    assert finding.rows is not None
    assert float(finding.rows.freedom) == pytest.approx(ROWS - 1)
    seeds = of_seeds.var(ddof=1) / SEEDS
    assert finding.share_of_rows == pytest.approx(variance(finding) / (variance(finding) + seeds))


def test_the_interval_adds_the_squares_of_both_reaches(tmp_path: Path) -> None:
    finding = packed(tmp_path, runs_of(classified))
    assert finding.interval is not None
    assert finding.on_other_rows is not None
    assert finding.difference is not None
    seeds = (finding.interval[1] - finding.interval[0]) / 2
    rows = stats.t.isf(finding.level / 2, ROWS - 1) * np.sqrt(variance(finding))
    whole = np.hypot(seeds, rows)
    assert finding.on_other_rows == pytest.approx((finding.difference.mean - whole, finding.difference.mean + whole))
    assert cells(finding)[CELL].endswith(f"] points, rows {finding.share_of_rows:.0%}")


FAMILIES: dict[str, tuple[Draw, str]] = {
    "mcc": (classified, "cola"),
    "pearson": (scaled, "stsb"),
    "f1 of entities": (tagged, "conll2004"),
    "f1 of answers": (asked, "squad"),
    "loss": (generated, "samsum"),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_the_variance_is_that_of_a_paired_bootstrap_with_the_scorer_itself(tmp_path: Path, name: str) -> None:
    """The scores of all runs on the same rows, drawn with replacement, are computed one after the other."""
    draw, task = FAMILIES[name]
    runs = runs_of(draw, task)
    metric, family = runs[0][0].selection.metric, task_of(runs[0][0])
    rng = np.random.default_rng(0)
    table = np.zeros((SEEDS, 120))
    for place in range(120):
        chosen = rng.integers(ROWS, size=ROWS)
        for record, own in runs:
            again = family.score_numbers({key: [column[row] for row in chosen] for key, column in own.items()})[metric]
            table[record.seed, place] += again if record.method == METHODS[0] else -again
    around = table - table.mean(axis=0)
    alone = around.var(axis=1, ddof=1).sum() / (SEEDS - 1) / SEEDS
    expected = table.mean(axis=0).var(ddof=1) - alone
    assert expected > 0.5 * table.mean(axis=0).var()
    assert variance(packed(tmp_path, runs)) == pytest.approx(expected, rel=0.3)


def test_the_exact_variance_of_an_accuracy_is_that_of_its_bootstrap() -> None:
    """Over 20 pairs of runs, the ratio is 1 within the error of 1,000 draws."""
    counts, ratios = resamples(ROWS, RESAMPLES, 0), []
    for seed in range(20):
        one, other = (right(classified(place, seed)) for place in range(2))
        exact = (one - other).var(ddof=1) / ROWS
        by_draws = (counts @ (one - other) / ROWS).var(ddof=1) * ROWS / (ROWS - 1)
        reference = stats.bootstrap((one - other,), np.mean, n_resamples=RESAMPLES, rng=seed).standard_error ** 2
        ratios.append((by_draws / exact, reference / exact))
    assert np.abs(np.array(ratios) - 1).max() < 0.2
    assert np.mean(ratios, axis=0) == pytest.approx(1, abs=0.04)


def test_resamples_are_the_same_each_time_and_differ_between_blocks() -> None:
    resamples.cache_clear()
    first = resamples(7, 5, 0)
    resamples.cache_clear()
    assert (first == resamples(7, 5, 0)).all()
    assert (first.sum(axis=1) == 7).all()
    assert (first != resamples(7, 5, 1)).any()


def apart(table: Values) -> float:
    """The part of the variance of a mean over seeds that single seeds make, from (seeds, rows)."""
    seeds, rows = table.shape
    return float((table - table.mean(axis=0)).var(axis=1, ddof=1).sum() / (seeds - 1) / seeds / rows)


def test_rows_of_one_task_in_two_settings_are_one_sample_of_rows() -> None:
    """The same answers in two settings leave the noise of the rows as it is, and halve that of single seeds."""
    pairs, samples = comparison(np.random.default_rng(1), seeds=6, tasks=1, rows=200)
    both = pd.concat([pairs, pairs.assign(setting="other")])
    one, two = (noise_of_rows(own, difference_of(own), samples) for own in (pairs, both))
    assert one is not None
    assert two is not None
    left, right = (np.stack([samples[run].values for run in pairs[f"id_{side}"]]) for side in SIDES)
    assert float(two.error) ** 2 == pytest.approx(float(one.error) ** 2 + apart(left - right) / 2)


def test_seeds_that_err_on_rows_of_their_own_leave_nothing_to_the_rows() -> None:
    """All rows are alike, and each seed has others wrong: the variance over the seeds has all of it."""
    rng, shares = np.random.default_rng(3), []
    for _ in range(100):
        right = (rng.random((6, 2, 200)) < 0.8).astype(float)
        ids = [{f"id_{side}": f"{side} {seed}" for side in SIDES} for seed in range(6)]
        runs = {
            run: own
            for names, both in zip(ids, right, strict=True)
            for run, own in zip(names.values(), both, strict=True)
        }
        differences = right[:, 0].mean(axis=1) - right[:, 1].mean(axis=1)
        pairs = pd.DataFrame(ids).assign(task="t", model="m", setting="", difference=differences)
        difference = difference_of(pairs)
        noise = noise_of_rows(pairs, difference, {run: sample(own, "t") for run, own in runs.items()})
        assert noise is not None
        assert difference.here is not None
        shares.append(float(noise.error**2 / (noise.error**2 + difference.here.error**2)))
    assert min(shares) == 0, "a variance is never negative"
    assert np.median(shares) < 0.1


def cell(finding: Finding) -> str:
    assert finding.interval is not None, "the seeds alone have their interval"
    return cells(finding)[CELL]


def test_runs_that_were_tested_on_other_rows_are_not_compared_by_rows(tmp_path: Path) -> None:
    runs = runs_of(classified)
    assert cell(packed(tmp_path, runs)) != "-"
    other = [(new_run(record.method, record.seed, own, fingerprint=record.method), own) for record, own in runs]
    assert cell(packed(tmp_path, other)) == "-"
    (record, own), *rest = runs
    swapped = {name: own[name][::-1] for name in own}
    assert cell(packed(tmp_path, [(record, swapped), *rest])) == "-", "the same scores of rows in another order"


def changed(numbers: Numbers, **columns: list[Any]) -> Numbers:
    return {**numbers, **columns}


DAMAGED: dict[str, Callable[[Numbers], Numbers]] = {
    "no answers": lambda own: {},
    "fewer answers": lambda own: {name: column[1:] for name, column in own.items()},
    "an answer less": lambda own: changed(own, answer=own["answer"][1:]),
    "other answers": lambda own: changed(own, answer=[0] * ROWS),
    "no references": lambda own: {"answer": own["answer"]},
    "texts": lambda own: changed(own, answer=["yes"] * ROWS),
    "a label that the task does not have": lambda own: changed(own, answer=[7] * ROWS),
    "lists": lambda own: changed(own, answer=[[1]] * ROWS),
}


@pytest.mark.parametrize("what", DAMAGED)
@pytest.mark.parametrize("task", ["rte", "cola"])
def test_without_the_answers_of_every_run_there_is_no_interval(tmp_path: Path, task: str, what: str) -> None:
    (record, own), *rest = runs_of(classified, task)
    assert cell(packed(tmp_path, [(record, DAMAGED[what](own)), *rest])) == "-"


def test_texts_are_no_rows(tmp_path: Path) -> None:
    """The numbers of generated texts do not determine their BLEU."""
    runs = [
        (
            record.model_copy(
                update={
                    "selection": record.selection.model_copy(update={"metric": "bleu"}),
                    "metrics": {**record.metrics, "test": {"bleu": 30.0 + record.seed**2 * (record.method == "ln")}},
                }
            ),
            own,
        )
        for record, own in runs_of(generated, "samsum")
    ]
    assert cell(packed(tmp_path, runs)) == "-"


def test_one_row_has_no_variance(tmp_path: Path) -> None:
    rows = [{"answer": [answer], "reference": [1]} for answer in (1, 0, 1, 0, 0, 0, 1, 0)]
    places = [(method, seed) for method in METHODS for seed in range(SEEDS)]
    runs = [(new_run(method, seed, own), own) for (method, seed), own in zip(places, rows, strict=True)]
    assert cell(packed(tmp_path, runs)) == "-"


def test_what_no_seed_changes_is_not_tested_by_rows_either(tmp_path: Path) -> None:
    own = {"answer": [1] * ROWS, "reference": [1] * ROWS}
    finding = packed(tmp_path, [(new_run(method, seed, own), own) for method in METHODS for seed in range(SEEDS)])
    assert (finding.interval, finding.rows, cells(finding)[CELL]) == (None, None, "-")


def test_numbers_that_are_not_finite_have_no_interval(tmp_path: Path) -> None:
    runs = runs_of(scaled, "stsb")
    (record, own), *rest = runs
    lost = changed(own, answer=[float("nan"), *own["answer"][1:]])
    assert cell(packed(tmp_path, [(record, lost), *rest])) == "-"


def test_times_have_no_rows(tmp_path: Path) -> None:
    times = CLAIM.model_copy(update={"comparisons": [COMPARISON.model_copy(update={"quantity": "train_seconds"})]})
    runs = [
        record.model_copy(update={"cost": record.cost.model_copy(update={"train_seconds": 9.0 + place**2})})
        for place, (record, _) in enumerate(runs_of(classified))
    ]
    write_packed(tmp_path / f"x{SUFFIX}", [PackedRun(record=record, history="", numbers={}) for record in runs])
    loaded = load_runs(tmp_path)
    [verdict] = judge([times], loaded, frame(loaded.records))
    assert cell(verdict.findings[0]) == "-"
    assert verdict.findings[0].improvement is None


def write_folder(record: Record, numbers: Numbers, runs_dir: Path) -> Path:
    """A run as it lies after training; returns its predictions."""
    folder = folder_of(record, runs_dir)
    folder.mkdir(parents=True)
    labels = record.config["task"]["labels"]
    pairs = zip(numbers["answer"], numbers["reference"], strict=True)
    lines = [json.dumps({"label": labels[said], "reference": labels[true], "input": {}}) for said, true in pairs]
    path = folder / PREDICTIONS
    path.write_text("".join(f"{line}\n" for line in lines))
    write_record(record.model_copy(update={"files": {PREDICTIONS: file_digest(path)}}), folder)
    return path


def test_folders_of_runs_give_what_packed_runs_give_until_a_file_is_damaged(tmp_path: Path) -> None:
    runs = runs_of(classified)
    paths = [write_folder(record, own, tmp_path / "runs") for record, own in runs]
    (tmp_path / "packed").mkdir()
    assert cell(found_in(tmp_path / "runs")) == cell(packed(tmp_path / "packed", runs)) != "-"
    whole = paths[0].read_bytes()
    first, *others = whole.splitlines(keepends=True)
    of_same_reference = b'"reference": ' + first.split(b'"reference": ')[1]
    place = next(number for number, line in enumerate(others) if line != first and line.endswith(of_same_reference))
    swapped = [others[place], *others[:place], first, *others[place + 1 :]]
    for content in (whole[:-40], b"", whole.replace(b"not_entailment", b"entailment"), b"".join(swapped)):
        paths[0].write_bytes(content)
        assert cell(found_in(tmp_path / "runs")) == "-"
    paths[0].unlink()
    assert cell(found_in(tmp_path / "runs")) == "-"
    assert sample_of(runs[0][0], tmp_path) is None
