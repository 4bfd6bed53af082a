"""The document on the paper's claims, from runs with made-up numbers and from the published ones."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from lnbench.core.schema import ConfigError
from lnbench.records.packed import SUFFIX, PackedRun, write_packed
from lnbench.records.record import Record
from lnbench.report.claims.claims import read_claims
from scripts.reproduction import DOCUMENT, RESULTS, document
from tests.report.builders import finished
from tests.report.whole import made_up

ROOT = Path(__file__).parents[2]


def publish(results: Path, name: str, records: Sequence[Record]) -> None:
    lines = [PackedRun(record=record, history="", numbers={}) for record in records]
    write_packed(results / f"{name}{SUFFIX}", lines)


def test_the_published_document_is_made_from_the_published_results_alone() -> None:
    assert (ROOT / DOCUMENT).read_text() == document(ROOT / RESULTS, DOCUMENT.stem), (
        "python -m scripts.reproduction --images writes it anew"
    )


def test_it_has_every_claim_table_and_command_and_no_folder_of_this_machine(tmp_path: Path) -> None:
    publish(tmp_path, "mini_main_nlu", made_up())
    publish(tmp_path, "mini_efficiency", made_up(seeds=(0,), tasks=("rte",)))
    text = document(tmp_path, "pictures")
    assert str(tmp_path) not in text
    assert "python -m lnbench experiment=mini_main_nlu method=adapter,adapter+ln,bitfit," in text
    assert " task=mrpc,rte,sst2 seed=0,1,2 data_root=path/to/data\n" in text
    for heading in ("# Reproduction", "## In short", "## Test scores", "## Costs", "## Claims in full"):
        assert f"\n{heading}" in f"\n{text}"
    assert "](pictures/" in text
    for claim in read_claims():
        assert text.count(claim.text) == 3, "in short, in the summary of the claims, and in full"


def test_times_are_judged_by_the_runs_that_had_the_machine_to_themselves(tmp_path: Path) -> None:
    publish(tmp_path, "mini_main_nlu", made_up())
    assert "in training time" not in document(tmp_path, "pictures")
    assert "## Costs" not in document(tmp_path, "pictures")
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


def test_without_results_there_is_no_document(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has no packed file of runs whose scores count"):
        document(tmp_path, "pictures")
