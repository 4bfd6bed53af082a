"""What a run leaves for MLflow, read back from a database beside the runs."""

import csv
from typing import Any

import pytest

pytest.importorskip("mlflow", reason="pip install 'lnbench[mlflow]'")
pytest.importorskip("sqlalchemy", reason="pip install 'lnbench[mlflow]'")

from mlflow.tracking import MlflowClient

from lnbench.config.run import RunConfig
from lnbench.records.files import METRICS
from lnbench.records.identity import address_of, run_dir
from lnbench.records.record import read_record
from lnbench.run.lifecycle import run
from lnbench.training.loggers.mlflow_log import ID, MlflowLog
from lnbench.training.loggers.run_logger import open_logger
from tests.conftest import Configure
from tests.forking import Forking
from tests.training.interruption import interrupt

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of MLflow's own use of SQLAlchemy
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture(autouse=True)
def local(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def logged(config: RunConfig) -> tuple[MlflowClient, list[Any]]:
    """The runs that MLflow knows, oldest first."""
    client = MlflowClient(f"sqlite:///{config.runs_dir}/mlflow.db")
    experiment = client.get_experiment_by_name("lnbench")
    return client, client.search_runs([experiment.experiment_id], order_by=["attributes.start_time ASC"])


def curve(client: MlflowClient, one: Any, name: str) -> list[tuple[int, float]]:
    return [(point.step, point.value) for point in client.get_metric_history(one.info.run_id, name)]


def expected(config: RunConfig, name: str) -> list[tuple[int, float]]:
    with (run_dir(config) / METRICS).open() as file:
        return [(int(row["step"]), float(row[name])) for row in csv.DictReader(file) if row[name]]


def test_a_run_has_its_curves_scores_configuration_and_files_and_is_done_again_as_another(
    configure: Configure, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    config = configure("logger=mlflow", "trainer.max_steps=10")
    record = run(config)
    assert not [entry for entry in caplog.records if entry.name.startswith(("lnbench", "mlflow", "pytorch_lightning"))]
    client, (one,) = logged(config)
    assert (one.info.status, one.info.run_name, one.data.tags[ID]) == ("FINISHED", "ln-sst2-0", record.id)
    assert one.data.params["trainer/max_steps"] == "10"
    assert one.data.metrics["score"] == record.score
    assert one.data.metrics["test/accuracy"] == record.metrics["test"]["accuracy"]
    assert one.data.metrics["best/accuracy"] == record.metrics["validation"]["accuracy"]
    for name in ("train/loss", "validation/accuracy"):
        assert curve(client, one, name) == expected(config, name)
    files = {file.path for file in client.list_artifacts(one.info.run_id)}
    assert files == {"record.json", "adapter.safetensors", "predictions.jsonl"}
    assert f"mlflow ui --backend-store-uri sqlite:///{config.runs_dir}/mlflow.db" in capsys.readouterr().out
    run(configure("logger=mlflow", "trainer.max_steps=10", "rerun=true"))
    assert [one.info.status for one in logged(config)[1]] == ["FINISHED", "FINISHED"]


def test_a_resumed_run_goes_on_in_the_same_log(configure: Configure) -> None:
    config = configure("logger=mlflow", "logger.mlflow.artifacts=false")
    interrupt(config, "on_train_batch_end", 6)
    _, (one,) = logged(config)
    assert one.info.status == "KILLED"
    run(config)
    client, (again,) = logged(config)
    assert (again.info.status, again.info.run_id) == ("FINISHED", one.info.run_id)
    assert curve(client, again, "validation/accuracy") == expected(config, "validation/accuracy")
    assert not client.list_artifacts(one.info.run_id)


def open_and_close(config: RunConfig, problems: Any) -> None:
    try:
        MlflowLog(config, config.logger.mlflow, address_of(config)).close(0, run_dir(config))  # type: ignore[arg-type]
    except Exception as error:
        problems.put(repr(error))


def test_runs_that_start_at_once_share_a_database(configure: Configure) -> None:
    configs = [configure("logger=mlflow", f"seed={seed}") for seed in range(2)]
    context = Forking()
    problems = context.SimpleQueue()
    processes = [context.Process(target=open_and_close, args=(config, problems)) for config in configs]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert problems.empty(), problems.get()
    assert {one.data.tags["seed"] for one in logged(configs[0])[1]} == {"0", "1"}


def test_a_run_goes_on_without_mlflow_and_says_so_once(configure: Configure, caplog: pytest.LogCaptureFixture) -> None:
    config = configure("logger=mlflow", "logger.mlflow.tracking_uri=nowhere://here", "trainer.max_steps=2")
    run(config)
    assert read_record(run_dir(config))
    (warning,) = [entry.getMessage() for entry in caplog.records if entry.name.startswith("lnbench")]
    assert warning.startswith("MLflow: ")
    assert warning.endswith("; the run goes on")


def test_an_error_of_one_log_does_not_touch_another(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorboard")
    config = configure("logger=mlflow+tensorboard")
    kept: list[int] = []
    monkeypatch.setattr(MlflowLog, "log_metrics", lambda *_: 1 / 0)
    monkeypatch.setattr(
        "lnbench.training.loggers.tensorboard_log.TensorboardLog.log_metrics", lambda _, __, step: kept.append(step)
    )
    with open_logger(config, address_of(config)) as logger:
        assert logger
        logger.log_metrics({"a": 1.0}, 3)
    assert kept == [3]
