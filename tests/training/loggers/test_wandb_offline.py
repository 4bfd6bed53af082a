"""What a run leaves for W&B, read back from the file that `wandb sync` would send."""

import base64
import csv
import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wandb

from lnbench.config.run import RunConfig
from lnbench.records.files import ADAPTER, METRICS, PREDICTIONS
from lnbench.records.identity import address_of, run_dir, run_id
from lnbench.records.record import Record
from lnbench.run.lifecycle import run
from lnbench.training.loggers.run_logger import open_logger
from lnbench.training.loggers.wandb_log import STEP
from tests import runs
from tests.conftest import Configure
from tests.records.builders import new_record
from tests.training.interruption import AtCall, inject, interrupt
from tests.training.loggers.offline_wandb import WandbFile, isolate, offline_files, parse, wait_for_another_folder


@pytest.fixture(scope="module", autouse=True)
def offline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        isolate(patch, tmp_path_factory.mktemp("wandb"))
        yield


@dataclass(frozen=True)
class Finished:
    """A run that was not disturbed."""

    config: RunConfig
    record: Record
    file: WandbFile


@pytest.fixture(scope="module")
def finished(sources: dict[str, Path], data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    places = (sources["bert"], data_root, tmp_path_factory.mktemp("runs"))
    config = runs.configure(*places, "logger=wandb", "method=prefix+ln", "logger.wandb.predictions=20", "seed=3")
    record = run(config)
    (path,) = offline_files(config)
    return Finished(config, record, WandbFile(path))


def metric_rows(config: RunConfig) -> list[dict[str, float]]:
    """The rows of metrics.csv as W&B should have them."""
    with (run_dir(config) / METRICS).open() as file:
        rows = [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)]
    return [{STEP if name == "step" else name: row[name] for name in row if name != "epoch"} for row in rows]


def curves(file: WandbFile) -> list[dict[str, Any]]:
    """The points that training left."""
    points = [{name: value for name, value in point.items() if name[0] != "_"} for point in file.history]
    return [point for point in points if not any(name.startswith(("test/", "shift/", "predictions")) for name in point)]


def test_a_run_is_grouped_tagged_and_configured(finished: Finished) -> None:
    started = finished.file.run
    assert started.run_id == run_id(finished.config)
    assert started.project == "lnbench"
    assert started.run_group == "ln+prefix/sst2"
    assert list(started.tags) == ["ln", "prefix", "sst2", "tiny", "seed-3"]
    assert finished.file.config == finished.config.to_dict()
    assert not started.resume


def test_the_summary_is_the_records(finished: Finished) -> None:
    summary, record = finished.file.summary, finished.record
    for name, value in record.metrics["validation"].items():
        assert summary[f"best/{name}"] == value
    for name, value in record.metrics["test"].items():
        assert summary[f"test/{name}"] == value
    assert summary["score"] == record.score
    assert summary["parameters/trained"] == record.parameters.trained
    assert summary["parameters/trained_percent"] == record.parameters.trained_percent
    assert summary["cost/train_seconds"] == record.cost.train_seconds
    assert summary["cost/train_samples_per_second"] == record.cost.train_samples_per_second
    assert summary["cost/peak_memory_bytes"] == record.cost.peak_memory_bytes


def test_the_curves_are_those_of_metrics_csv_against_the_optimiser_step(finished: Finished) -> None:
    assert finished.file.step_metrics == {"*": STEP}
    assert curves(finished.file) == metric_rows(finished.config)
    assert {"train/loss", "validation/accuracy"} <= {name for point in curves(finished.file) for name in point}


def test_the_adapter_is_an_artifact(finished: Finished) -> None:
    artifact = finished.file.artifacts["adapter"]
    path = run_dir(finished.config) / ADAPTER
    assert artifact.name == f"adapter-{finished.record.id}"
    assert json.loads(artifact.metadata) == {
        "backbone": finished.config.model.source,
        "method": "ln+prefix",
        "score": finished.record.score,
    }
    (entry,) = artifact.manifest.contents
    assert (entry.path, entry.local_path, entry.size) == (ADAPTER, str(path), path.stat().st_size)
    assert base64.b64decode(entry.digest) == hashlib.md5(path.read_bytes()).digest()


def test_the_first_predictions_are_a_table(finished: Finished) -> None:
    lines = (run_dir(finished.config) / PREDICTIONS).read_text().splitlines()
    assert len(lines) == 32
    rows = finished.file.table("predictions")
    shown = [row | {"probabilities": json.loads(row["probabilities"])} for row in rows]
    predictions = [json.loads(line) for line in lines[:20]]
    assert shown == [{"input.sentence": row.pop("input")["sentence"], **row} for row in predictions]


def test_the_shift_is_a_table_and_a_histogram_a_term(finished: Finished) -> None:
    rows = finished.file.table("shift/table")
    assert rows == [row.model_dump() for row in finished.record.shift]
    for term in ("gain", "bias"):
        counts, bins = (finished.file.summary[f"shift/{term}.{name}"] for name in ("values", "bins"))
        changes = [row["mean_abs"] for row in rows if row["term"] == term]
        assert sum(counts) == len(changes) == 6
        assert (bins[0], bins[-1]) == pytest.approx((min(changes), max(changes)))


def test_a_finished_run_is_closed_as_such(finished: Finished) -> None:
    assert finished.file.exit_codes == [0]
    assert not finished.file.preempting
    assert wandb.run is None


def test_a_file_that_is_still_written_is_read_to_its_last_whole_record(finished: Finished) -> None:
    (path,) = offline_files(finished.config)
    data = path.read_bytes()
    records = parse(data)
    parts = [parse(data[:end]) for end in range(0, len(data), 97)]
    assert all(part == records[: len(part)] for part in parts)
    counts = [len(part) for part in parts]
    assert counts == sorted(counts)
    assert counts[0] == 0 < counts[len(counts) // 2] < len(records)


def test_a_failed_run_is_closed_as_such(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    config = configure("logger=wandb")

    def fail() -> None:
        raise ZeroDivisionError

    inject(monkeypatch, AtCall("on_train_batch_end", 3, fail))
    with pytest.raises(Exception, match="ZeroDivisionError"):
        run(config)
    (path,) = offline_files(config)
    assert WandbFile(path).exit_codes == [1]
    assert not WandbFile(path).preempting
    assert not WandbFile(path).artifacts


def test_a_resumed_run_continues_the_same_one(configure: Configure) -> None:
    config = configure("logger=wandb")
    interrupt(config, "on_train_batch_end", 6)
    wait_for_another_folder()
    record = run(config)
    first, second = (WandbFile(path) for path in offline_files(config))
    assert (first.exit_codes, second.exit_codes) == ([130], [0])
    assert (first.preempting, second.preempting) == (True, False)
    assert (first.run.resume, second.run.resume) == (False, True)
    assert first.run.run_id == second.run.run_id == record.id
    assert curves(first)
    assert curves(second)
    assert curves(first) + curves(second) == metric_rows(config)
    assert "adapter" in second.artifacts


def test_a_run_that_starts_over_does_not_continue_the_old_one(configure: Configure) -> None:
    run(configure("logger=wandb"))
    wait_for_another_folder()
    config = configure("logger=wandb", "rerun=true")
    run(config)
    assert [WandbFile(path).run.resume for path in offline_files(config)] == [False, False]


def write_results(folder: Path, predictions: list[dict[str, Any]]) -> None:
    (folder / ADAPTER).write_bytes(b"adapter")
    (folder / PREDICTIONS).write_text("".join(json.dumps(row) + "\n" for row in predictions))


def logged(config: RunConfig, record: Record, predictions: list[dict[str, Any]]) -> WandbFile:
    """What results alone leave."""
    with open_logger(config, address_of(config)) as logger:
        assert logger
        write_results(run_dir(config), predictions)
        logger.log_results(record, run_dir(config))
    (path,) = offline_files(config)
    return WandbFile(path)


@pytest.fixture
def results(configure: Configure) -> Any:
    return partial(logged, configure("logger=wandb"))


def test_scores_that_are_not_numbers_are_logged(results: Any, caplog: pytest.LogCaptureFixture) -> None:
    made_up = new_record().model_dump()
    record = new_record(
        metrics={"validation": {"accuracy": math.nan}, "test": {"accuracy": math.nan}},
        selection=made_up["selection"] | {"score": math.nan},
        config={"model": {"source": "here"}},
    )
    file = results(record, [{"score": math.nan}])
    assert not [entry for entry in caplog.records if entry.name.startswith("lnbench")]
    assert file.exit_codes == [0]
    assert file.summary["cost/steps"] == record.cost.steps
    assert np.isnan(np.array(file.summary["best/accuracy"], dtype=float))
    assert {"adapter", "run_table"} <= file.artifacts.keys()


def test_predictions_of_all_kinds_are_shown(results: Any) -> None:
    rows = [
        {"answer": "é", "tags": ["B-A", "O"], "score": 1, "more": None},
        {"answer": None, "tags": [], "score": 0.5},
        {"answer": 3, "tags": {"a": "ü"}, "score": 2},
        {"input": {"answer": "a", "score": "b"}, "answer": "c", "tags": [], "score": 3},
        {"input": "a column of an earlier version", "answer": "d", "tags": [], "score": 4},
    ]
    file = results(new_record(config={"model": {"source": "here"}}), rows)
    shown: list[dict[str, Any]] = [
        {"answer": "é", "tags": '["B-A", "O"]', "score": 1},
        {"answer": None, "tags": "[]", "score": 0.5},
        {"answer": 3, "tags": '{"a": "ü"}', "score": 2},
        {"input.answer": "a", "input.score": "b", "answer": "c", "tags": "[]", "score": 3},
        {"input": "a column of an earlier version", "answer": "d", "tags": "[]", "score": 4},
    ]
    empty = dict.fromkeys(["answer", "tags", "score", "more", "input.answer", "input.score", "input"])
    assert file.table("predictions") == [{**empty, **row} for row in shown]


def test_no_predictions_and_no_norms_leave_no_tables(configure: Configure) -> None:
    config = configure("logger=wandb", "logger.wandb.predictions=0")
    file = logged(config, new_record(config={"model": {"source": "here"}}), [{"label": 1}])
    assert file.artifacts.keys() == {"adapter"}
    assert not any(name.startswith(("predictions", "shift")) for name in file.summary)


def test_a_run_without_a_test_shows_what_there_is(results: Any, caplog: pytest.LogCaptureFixture) -> None:
    file = results(new_record(metrics={"validation": {"accuracy": 0.5}}, config={"model": {"source": "here"}}), [])
    assert not [entry for entry in caplog.records if entry.name.startswith("lnbench")]
    assert file.summary["best/accuracy"] == 0.5
    assert file.artifacts.keys() == {"adapter"}
