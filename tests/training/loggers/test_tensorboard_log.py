"""What a run leaves for TensorBoard, read back from its event files."""

import csv
from threading import Event
from typing import Any

import pytest

pytest.importorskip("tensorboard", reason="pip install 'lnbench[tensorboard]'")

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lnbench.config.run import RunConfig
from lnbench.launch.fused.together import run_together
from lnbench.records.files import METRICS
from lnbench.records.identity import run_dir
from lnbench.records.record import Record, read_record
from lnbench.run.lifecycle import run
from lnbench.training.loggers.tensorboard_log import TensorboardLog
from tests.conftest import Configure
from tests.training.interruption import interrupt


def read(config: RunConfig) -> Any:
    """The log of a run, as TensorBoard shows it."""
    accumulator = EventAccumulator(str(run_dir(config) / "tensorboard"))
    accumulator.Reload()
    return accumulator


def curves(config: RunConfig) -> dict[str, list[tuple[int, float]]]:
    """The points that training left, by curve."""
    log = read(config)
    names = [name for name in log.Tags()["scalars"] if name.startswith(("train/", "validation/"))]
    return {name: [(event.step, event.value) for event in log.Scalars(name)] for name in names}


def expected(config: RunConfig) -> dict[str, list[Any]]:
    """The points of metrics.csv, by curve, as single-precision numbers."""
    points: dict[str, list[Any]] = {}
    with (run_dir(config) / METRICS).open() as file:
        for row in csv.DictReader(file):
            for name, value in row.items():
                if value and name not in ("epoch", "step"):
                    points.setdefault(name, []).append((int(row["step"]), pytest.approx(float(value), rel=1e-6)))
    return points


def test_a_run_has_its_curves_scores_and_configuration(
    configure: Configure, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    config = configure("logger=csv+tensorboard", "method=prefix+ln", "logger.tensorboard.predictions=3")
    record = run(config)
    assert not [entry for entry in caplog.records if entry.name.startswith("lnbench")]
    log = read(config)
    assert curves(config) == expected(config)
    assert log.Scalars("score")[-1].value == pytest.approx(record.score)
    (test,) = {event.value for event in log.Scalars("test/accuracy")}
    assert test == pytest.approx(record.metrics["test"]["accuracy"])
    assert {"shift/gain", "shift/bias"} <= {*log.Tags()["histograms"]}
    assert b"input.sentence" in log.Tensors("predictions/text_summary")[0].tensor_proto.string_val[0]
    assert log.Tensors("predictions/text_summary")[0].tensor_proto.string_val[0].count(b"\n") == 1 + 3
    assert b"trainer/lr" in log.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    assert f"tensorboard --logdir {config.runs_dir}" in capsys.readouterr().out


@pytest.mark.parametrize("hook", ["on_train_batch_end", "on_test_batch_start"])
def test_a_resumed_run_goes_on_in_the_same_log(configure: Configure, hook: str) -> None:
    config = configure("logger=tensorboard")
    interrupt(config, hook, 6 if hook == "on_train_batch_end" else 1)
    assert curves(config)
    run(config)
    assert curves(config) == expected(config)


def test_a_run_that_is_done_again_replaces_its_log(configure: Configure) -> None:
    run(configure("logger=tensorboard"))
    config = configure("logger=tensorboard", "rerun=true")
    run(config)
    assert curves(config) == expected(config)


def test_a_run_goes_on_without_tensorboard_and_says_so_once(
    configure: Configure, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    config = configure("logger=tensorboard")

    def broken(*_: Any, **__: Any) -> None:
        raise OSError("the disk is away")

    for name in ("log_metrics", "log_results", "close"):
        monkeypatch.setattr(TensorboardLog, name, broken)
    run(config)
    assert read_record(run_dir(config))
    warnings = [entry.getMessage() for entry in caplog.records if entry.name.startswith("lnbench")]
    assert warnings == ["TensorBoard: OSError: the disk is away; the run goes on"]


def test_runs_that_train_together_have_a_log_each(configure: Configure) -> None:
    configs = [configure("logger=tensorboard", f"seed={seed}") for seed in range(2)]
    assert all(isinstance(outcome, Record) for _, outcome in run_together(configs, Event()))
    for config in configs:
        assert curves(config) == expected(config)
