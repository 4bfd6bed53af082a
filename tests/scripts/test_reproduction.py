"""The document on the paper's claims, from runs with made-up numbers and from the published ones."""

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from lnbench.core.schema import ConfigError
from lnbench.deciding.recorded import decided
from lnbench.records.packed import SUFFIX, PackedRun, write_packed
from lnbench.records.record import Record
from lnbench.report.claims.claims import read_claims
from lnbench.report.claims.judgement import SIGNS
from lnbench.report.claims.looks import levels
from lnbench.report.claims.verdicts import LEVEL
from scripts.reproduction import DOCUMENT, FURTHER, RESULTS, document, experiments
from tests.report.builders import finished, loaded
from tests.report.whole import made_up

ROOT = Path(__file__).parents[2]


def publish(results: Path, name: str, records: Sequence[Record]) -> None:
    lines = [PackedRun(record=record, history="", numbers={}) for record in records]
    write_packed(results / f"{name}{SUFFIX}", lines)


def test_the_published_document_is_made_from_the_published_results_alone() -> None:
    assert (ROOT / DOCUMENT).read_text() == document(ROOT / RESULTS, DOCUMENT.stem), (
        "python -m scripts.reproduction --images writes it anew"
    )


def test_the_readme_tells_its_numbers() -> None:
    text = (ROOT / DOCUMENT).read_text().replace("\\", "")
    rows = re.findall(r"^\| ([^|]* better than [^|]*) \| ([^|]*) \|$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert rows
    for comparison, difference in rows:
        assert f"| ✔ | {comparison.replace('`', '')} in F1 and accuracy | {difference} points |" in text


def test_the_readme_tells_the_scores_of_the_document() -> None:
    text = (ROOT / DOCUMENT).read_text().replace("\\", "")
    _, claims = text.split("\n## mini_claims\n")
    scores = claims[: claims.index("### Interquartile means")]
    parameters = claims[claims.index("### Parameters: ") : claims.index("### Score against trained parameters")]
    rows = re.findall(r"^\| `(.*)` \| ([\d,]+) \| (.* ± .*) \|$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert rows
    for method, trained, score in rows:
        [row] = [line.replace("*", "") for line in scores.splitlines() if line.startswith(f"| {method} |")]
        assert f" | {score} (" in row, method
        assert f"\n| {method} | {trained} |" in parameters


@pytest.mark.parametrize(
    ("file", "experiment", "unit"),
    [("README.md", "mini_claims", "points"), ("docs/tasks.md", "mini_retention", "nats")],
)
def test_the_docs_tell_what_else_is_decided(file: str, experiment: str, unit: str) -> None:
    text = (ROOT / DOCUMENT).read_text().replace("\\", "")
    pattern = r"^\| ([^|]* better than [^|]*) \| ([^|]*) \| ([^|]*) \|$"
    rows = re.findall(pattern, (ROOT / file).read_text(), re.MULTILINE)
    assert len(rows) == len(FURTHER[experiment].questions)
    for comparison, outcome, difference in rows:
        sign = SIGNS["not decided" if outcome == "open" else outcome]
        assert f"| {sign} | {comparison.replace('`', '')} | {difference} {unit} |" in text


def test_further_comparisons_share_one_error_level() -> None:
    asked = FURTHER["mini_claims"]
    [experiment] = [one for one in experiments(ROOT / RESULTS) if one.name == "mini_claims"]
    findings = [finding for verdict in experiment.further for finding in verdict.findings]
    allowed = levels(LEVEL, len(asked.questions), asked.most_seeds)
    assert len(findings) == len(asked.questions)
    assert {finding.level for finding in findings} <= set(allowed)


def test_it_has_every_claim_table_and_command_and_no_folder_of_this_machine(tmp_path: Path) -> None:
    publish(tmp_path, "mini_main_nlu", made_up())
    publish(tmp_path, "mini_efficiency", made_up(seeds=(0,), tasks=("rte",)))
    text = document(tmp_path, "pictures")
    assert str(tmp_path) not in text
    assert "python -m lnbench -m experiment=mini_main_nlu method=adapter,adapter+ln,bitfit," in text
    assert " task=mrpc,rte,sst2 seed=0,1,2 data_root=path/to/data\n" in text
    for heading in ("# Reproduction", "## In short", "### Test scores", "### Costs", "### In full"):
        assert f"\n{heading}" in f"\n{text}"
    assert "](pictures/" in text
    for claim in read_claims():
        assert text.count(claim.text) == 4, "in short, by verdict, in the summary of the claims, and in full"


def test_times_are_judged_by_the_runs_that_had_the_machine_to_themselves(tmp_path: Path) -> None:
    publish(tmp_path, "mini_main_nlu", made_up())
    assert "in training time" not in document(tmp_path, "pictures")
    assert "# Costs" not in document(tmp_path, "pictures")
    publish(tmp_path, "mini_efficiency", made_up(seeds=(0,), tasks=("rte",)))
    rows = [line for line in document(tmp_path, "pictures").splitlines() if "in training time" in line]
    assert rows
    assert all("0 pairs" in row or "1 task x 1 seed " in row for row in rows)


@pytest.mark.parametrize(
    ("bitfit", "told"), [(0.6, "The means are against it: not *ln better than bitfit*."), (0.4, "")]
)
def test_what_is_not_decided_says_against_what_the_means_are(tmp_path: Path, bitfit: float, told: str) -> None:
    publish(tmp_path, "two", [finished(method, score=score) for method, score in (("ln", 0.5), ("bitfit", bitfit))])
    claim = "LN-tuning beats BitFit with half of its parameters."
    assert f"\n- {claim} {told}".rstrip() + "\n" in document(tmp_path, "pictures")


def test_runs_that_no_claim_is_about_have_no_verdicts(tmp_path: Path) -> None:
    publish(tmp_path, "one", [finished("ln", score=0.5)])
    assert "# Test scores" in document(tmp_path, "pictures")
    assert "# Verdicts" not in document(tmp_path, "pictures")


def test_without_results_there_is_no_document(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has no packed file of runs"):
        document(tmp_path, "pictures")


def clear() -> list[Record]:
    """Runs that support the first claim if they are looked at once."""
    scores = {"ln": (0.60, 0.63, 0.60), "bitfit": (0.55, 0.56, 0.57)}
    return [
        finished(method, task, seed, score)
        for method, of_seeds in scores.items()
        for task in ("rte", "sst2")
        for seed, score in enumerate(of_seeds)
    ]


def test_each_experiment_is_judged_by_its_own_runs(tmp_path: Path) -> None:
    publish(tmp_path, "first", clear())
    publish(tmp_path, "second", [finished(method) for method in ("ln", "bitfit")])
    text = document(tmp_path, "pictures")
    assert "| claim | first | second |" in text
    assert "| LN-tuning beats BitFit with half of its parameters. | ✔ | ? |" in text
    assert "](pictures/first/" in text
    assert "](pictures/second/" in text


def test_what_is_looked_at_often_is_judged_by_the_rule_for_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scripts.reproduction.LOOKED_AT_OFTEN", {"often": 16})
    publish(tmp_path, "often", clear())
    publish(tmp_path, "once", clear())
    text = document(tmp_path, "pictures")
    assert "| LN-tuning beats BitFit with half of its parameters. | ? | ✔ |" in text
    assert text.count("at most 16") == 1


def test_methods_with_other_settings_have_a_command_of_their_own(tmp_path: Path) -> None:
    changed = [finished("ln", seed=seed, settings={"ln.terms": ["bias"]}) for seed in range(2)]
    publish(tmp_path, "both", [finished("ln"), finished("bitfit"), *changed])
    commands = [line for line in document(tmp_path, "p").splitlines() if "experiment=both" in line]
    assert [line.partition("experiment=both ")[2] for line in commands] == [
        "method=bitfit,ln task=rte seed=0 data_root=path/to/data",
        "method=ln 'method.ln.terms=[bias]' task=rte seed=0,1 data_root=path/to/data",
    ]


def test_seeds_that_only_some_methods_have_come_from_decide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scripts.reproduction.LOOKED_AT_OFTEN", {"often": 16})
    publish(tmp_path, "often", [*clear(), finished("ln", "rte", 3, 0.6), finished("bitfit", "rte", 3, 0.5)])
    text = document(tmp_path, "pictures")
    assert ", 3 to 4 seeds, on rte, sst2\n" in text
    sweep, added = [line for line in text.splitlines() if "experiment=often" in line]
    assert sweep.endswith(" -m experiment=often method=bitfit,ln task=rte,sst2 seed=0,1,2 data_root=path/to/data")
    assert "python -m lnbench.decide ln-beats-bitfit ln-helps-prefix " in added
    assert added.endswith(" --tasks rte sst2 --seeds-max 16 experiment=often data_root=path/to/data")


def test_two_runs_of_one_cell_are_refused_where_runs_are_looked_at_often() -> None:
    twice = [finished("ln"), finished("ln", config={"trainer.lr_factor": 3})]
    with pytest.raises(ConfigError, match=r"^ln on rte with minilm, seed 0: there is more than one run"):
        decided(read_claims(), loaded(*twice), 0.05, 16)
