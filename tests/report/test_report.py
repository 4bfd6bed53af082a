"""The command, on folders of runs."""

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from lnbench.records.files import RECORD
from lnbench.report.__main__ import main
from tests.report.builders import finished, folder_of, save

RESULTS = Path(__file__).parents[2] / "results" / "mini_main_nlu.runs.jsonl.gz"
Report = Callable[..., tuple[object, str]]


@pytest.fixture
def report(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Report:
    """Runs the command in this process; returns its exit message (None: success) and what it printed."""

    def call(*arguments: object) -> tuple[object, str]:
        monkeypatch.setenv("COLUMNS", "120")
        monkeypatch.setattr(sys, "argv", ["report", *map(str, arguments)])
        try:
            main()
        except SystemExit as end:
            return end.code, capsys.readouterr().out
        return None, capsys.readouterr().out

    return call


@pytest.fixture
def runs_dir(tmp_path: Path) -> Path:
    """Three seeds of two methods on two tasks, and a run that is damaged."""
    folder = tmp_path / "runs"
    scores = {"ln": 0.8, "bitfit": 0.6}
    for method, score in scores.items():
        for task in ("rte", "cb"):
            save(
                *(finished(method, task, seed, score + 0.01 * seed * (method == "ln")) for seed in range(3)),
                runs_dir=folder,
            )
    damaged = finished("ln", seed=9)
    save(damaged, runs_dir=folder)
    (folder_of(damaged, folder) / RECORD).write_text("{")
    return folder


def test_the_report_is_printed_and_written(report: Report, runs_dir: Path) -> None:
    code, said = report(runs_dir)
    assert code is None
    for text in (
        "Test scores: minilm",
        "LN-tuning beats BitFit with half of its parameters.",
        "Not in this report (1):",
        "damaged",
    ):
        assert text in said
    written = {path.relative_to(runs_dir / "report").as_posix() for path in (runs_dir / "report").rglob("*.*")}
    tables = {"scores-minilm", "interquartile-minilm", "efficiency-minilm", "parameters-minilm"}
    assert written == {
        "index.html",
        "claims.md",
        *(f"tables/{name}.{end}" for name in tables for end in ("md", "tex", "csv")),
    }
    assert said.splitlines()[-1] == f"written to {runs_dir / 'report'}"


def test_a_report_beside_the_runs_is_not_taken_for_one(report: Report, runs_dir: Path) -> None:
    first = report(runs_dir)
    assert report(runs_dir) == first


def test_filters_choose_runs(report: Report, runs_dir: Path, tmp_path: Path) -> None:
    code, _ = report(runs_dir, "--out", tmp_path / "out", "--filter", "task=rte", "method=ln,full")
    assert code is None
    rows = (tmp_path / "out" / "tables" / "scores-minilm.csv").read_text().splitlines()
    assert [row.split(",")[:2] for row in rows[1:]] == [["ln", "rte"]]


def test_claims_of_ones_own_are_judged_too(report: Report, runs_dir: Path, tmp_path: Path) -> None:
    claim = {"id": "mine", "text": "My claim.", "where": "here"}
    comparisons = [{"left": "bitfit", "right": "ln", "left_is": "better"}]
    (tmp_path / "claims").mkdir()
    (tmp_path / "claims" / "mine.yaml").write_text(yaml.safe_dump(claim | {"comparisons": comparisons}))
    code, said = report(runs_dir, "--claims", tmp_path / "claims", "--out", tmp_path / "out")
    assert code is None
    assert "My claim." in said
    assert "## ✘ My claim." in (tmp_path / "out" / "claims.md").read_text()


def test_the_published_results_have_the_noise_of_their_rows_in_every_format(report: Report, tmp_path: Path) -> None:
    code, said = report(RESULTS, "--out", tmp_path)
    assert code is None
    assert re.search(r"other test rows \[.*P\(left better\) \d", " ".join(said.split()))
    assert "Interquartile means: minilm" in said
    for name in ("claims.md", "index.html"):
        text = (tmp_path / name).read_text()
        assert "with other test rows" in text
        assert re.search(r"points, rows \d+%", text), name
    for name in ("md", "tex", "csv"):
        assert "normalised" in (tmp_path / "tables" / f"interquartile-minilm.{name}").read_text()
    assert "Interquartile means: minilm" in (tmp_path / "index.html").read_text()


WRONG = {
    "task=sst2": "--filter task=sst2: no finished run fits; there are cb, rte",
    "tsk=rte": "--filter tsk=rte: must be NAME=VALUE[,VALUE...] with a name of method, task, model, seed",
    "rte": "--filter rte: must be NAME=VALUE[,VALUE...] with a name of method, task, model, seed",
}


@pytest.mark.parametrize("one", WRONG)
def test_a_filter_that_fits_nothing_is_told(report: Report, runs_dir: Path, one: str) -> None:
    assert report(runs_dir, "--filter", one) == (WRONG[one], "")
    assert not (runs_dir / "report").exists()


def test_a_folder_that_is_missing_or_empty_is_told(report: Report, tmp_path: Path) -> None:
    code, _ = report(tmp_path / "nowhere")
    assert str(code).startswith(f"{tmp_path / 'nowhere'}: is not a folder")
    assert report(tmp_path)[0] == f"{tmp_path}: has no finished runs; python -m lnbench does one"


@pytest.mark.parametrize(
    ("log", "tracker"),
    [
        ("wandb/offline-run-20261129_192128-11w9zk2k/run-11w9zk2k.wandb", "Weights & Biases"),  # of an interrupted run
        ("version_0/events.out.tfevents.1796066488.host.1.0", "TensorBoard"),
    ],
)
def test_the_logs_of_trackers_are_named(report: Report, tmp_path: Path, log: str, tracker: str) -> None:
    (tmp_path / log).parent.mkdir(parents=True)
    (tmp_path / log).write_bytes(b"")
    code, _ = report(tmp_path)
    assert f"{tmp_path / log}: is a log of {tracker}; it has curves and scores, and no record" in str(code)


def test_without_a_finished_run_the_others_are_told(report: Report, tmp_path: Path) -> None:
    damaged = finished()
    save(damaged, runs_dir=tmp_path)
    (folder_of(damaged, tmp_path) / RECORD).write_text("{")
    code, _ = report(tmp_path)
    assert f"damaged      {folder_of(damaged, tmp_path)}" in str(code)


def test_a_folder_that_cannot_be_written_is_told(report: Report, runs_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, _ = report(runs_dir, "--out", tmp_path / "file")
    assert str(tmp_path / "file") in str(code)


def test_wrong_claims_are_told(report: Report, runs_dir: Path, tmp_path: Path) -> None:
    assert report(runs_dir, "--claims", tmp_path)[0] == f"{tmp_path}: has no claims (*.yaml)"


OWN_TASK = """
from lnbench.core.schema import Free
from lnbench.tasks.sequence_classification import SequenceClassification

class Mine(SequenceClassification):
    colour: Free[str] = "red"
"""


def test_a_class_from_elsewhere_is_known_once_its_module_is_allowed(
    report: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "task_of_a_report.py").write_text(OWN_TASK)
    monkeypatch.syspath_prepend(tmp_path)
    for seed, colour in enumerate(("red", "blue")):
        record = finished(seed=seed)
        task = {**record.config["task"], "kind": "task_of_a_report.Mine", "colour": colour}
        own = record.model_copy(update={"config": {**record.config, "task": task}})
        save(own, runs_dir=tmp_path / "runs")
    assert "Test scores: minilm, task.colour=blue\n" in report(tmp_path / "runs")[1]
    assert report(tmp_path / "runs", "--plugin", "no_such_module")[0] == 2
    code, said = report(tmp_path / "runs", "--plugin", "task_of_a_report")
    assert (code, "colour" in said) == (None, False)
    assert "Test scores: minilm\n" in said


def test_help_teaches(report: Report) -> None:
    code, said = report("--help")
    assert code == 0
    assert "python -m lnbench.report runs --claims my_claims" in said
