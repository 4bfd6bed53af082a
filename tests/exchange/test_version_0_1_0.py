"""Runs that version 0.1.0 has left are loaded, listed, and reported as what they are."""

import json
import re
import shutil
from pathlib import Path

import pytest

from lnbench.exchange.tuned import load
from lnbench.records.listing import find_runs
from lnbench.report.load import frame, load_runs
from lnbench.run.lifecycle import run
from tests.conftest import Configure

MADE = Path(__file__).parent / "run_of_version_0_1_0"
"""By `method=ln+lora+prefix` on the tiny BERT of these tests, in `tiny_bert`."""
ID = "9ec9c4e905e8"


@pytest.fixture
def folder(sources: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The run in a folder of runs, with its model beside them, as seen from the current folder."""
    shutil.copytree(sources["bert"], tmp_path / "tiny_bert")
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(MADE, tmp_path / "runs" / "sst2" / "tiny" / "ln+lora+prefix" / ID))


def test_it_answers_as_it_did(folder: Path, data_root: Path) -> None:
    rows = [json.loads(line) for line in (data_root / "sst2" / "validation.jsonl").read_text().splitlines()]
    answers = [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]
    predictions = load(folder).predict([row["sentence"] for row in rows])
    assert [one["label"] for one in predictions] == [one["label"] for one in answers]
    for new, old in zip(predictions, answers, strict=True):
        assert list(new["probabilities"].values()) == pytest.approx(list(old["probabilities"].values()), abs=1e-5)


def test_it_is_listed_as_of_the_first_protocol(folder: Path) -> None:
    (found,) = find_runs(Path("runs"))
    assert found.state == "finished"
    assert found.record
    assert (found.record.protocol, found.id) == (1, ID)


def test_it_is_no_repetition_of_a_run_of_today(folder: Path, configure: Configure) -> None:
    run(configure("method=ln+lora+prefix", "method.prefix.length=2", "trainer.max_steps=12", "runs_dir=runs"))
    table = frame(load_runs(Path("runs")).records)
    assert table["variant"].nunique() == 1
    protocols = [re.findall(r"protocol=(\d)", setting) for setting in table["setting"]]
    assert sorted(protocols) == [["1"], ["2"]]
