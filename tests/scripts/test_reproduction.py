"""The document on the paper's claims, from runs with made-up numbers."""

from pathlib import Path

import pytest

from lnbench.report.claims.claims import read_claims
from lnbench.report.load import load
from scripts.reproduction import document
from tests.report.builders import finished, loaded
from tests.report.whole import made_up, write_all


def test_it_has_every_claim_table_and_command_and_no_folder_of_this_machine(tmp_path: Path) -> None:
    write_all(made_up(), tmp_path / "scores")
    write_all(made_up(seeds=(0,), tasks=("rte",)), tmp_path / "costs")
    scores, costs = load(tmp_path / "scores"), load(tmp_path / "costs")
    text = document(scores, costs, ["python -m lnbench experiment=mini_unified"], ["## A plot\n"])
    assert str(tmp_path) not in text
    assert "python -m lnbench experiment=mini_unified\n" in text
    for heading in ("# Reproduction", "## In short", "## Test scores", "## Costs", "## A plot", "## Claims in full"):
        assert f"\n{heading}" in f"\n{text}"
    for claim in read_claims():
        assert text.count(claim.text) == 3, "in short, in the summary of the claims, and in full"


def test_times_are_judged_by_the_runs_that_had_the_machine_to_themselves(tmp_path: Path) -> None:
    write_all(made_up(), tmp_path / "scores")
    write_all(made_up(seeds=(0,), tasks=("rte",)), tmp_path / "costs")
    text = document(load(tmp_path / "scores"), load(tmp_path / "costs"), [], [])
    rows = [line for line in text.splitlines() if "in training time" in line]
    assert rows
    assert all("0 pairs" in row or "1 task x 1 seed " in row for row in rows)


@pytest.mark.parametrize(
    ("bitfit", "told"), [(0.6, "The means are against it: not *ln better than bitfit*."), (0.4, "")]
)
def test_what_is_not_decided_says_against_what_the_means_are(bitfit: float, told: str) -> None:
    runs = [finished(method, score=score) for method, score in (("ln", 0.5), ("bitfit", bitfit))]
    text = document(loaded(*runs), loaded(*runs), [], [])
    claim = "LN-tuning beats BitFit with half of its parameters."
    assert f"\n- {claim} {told}".rstrip() + "\n" in text
