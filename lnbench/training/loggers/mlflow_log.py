"""Logs a run to MLflow: to a server, or to a database beside the runs."""

import logging
import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock
from mlflow.tracking import MlflowClient
from pytorch_lightning.loggers import MLFlowLogger

from lnbench.config.run import MlflowConfig, RunConfig
from lnbench.records.files import ADAPTER, PREDICTIONS, RECORD, RESUME
from lnbench.records.identity import Address
from lnbench.records.record import Record
from lnbench.training.loggers.log import FAILED, INTERRUPTED, SUCCEEDED, Log, group_of, run_name, summary_values

ID = "lnbench.id"
"""Tag with the id of the run."""
STATUS = {SUCCEEDED: "FINISHED", FAILED: "FAILED", INTERRUPTED: "KILLED"}
"""MLflow's names of how a run ended."""
SQLITE = "sqlite:///"


class MlflowLog(Log):
    """A run at MLflow, with its settings as parameters, and its record, adapter and test predictions as artifacts."""

    title = "MLflow"

    def __init__(self, config: RunConfig, settings: MlflowConfig, address: Address) -> None:
        """Starts the MLflow run; continues the latest one of the same id if training continues.

        Args:
            config: configuration of the run.
            settings: where it is logged.
            address: address of the run.
        """
        super().__init__()
        for name in ("mlflow", "alembic", "pytorch_lightning.loggers.mlflow"):
            logging.getLogger(name).setLevel(logging.ERROR)  # they tell how they make the database and the experiment
        self._artifacts = settings.artifacts
        runs_dir = address.runs_dir.resolve()
        self._uri = settings.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or f"{SQLITE}{runs_dir}/mlflow.db"
        runs_dir.mkdir(parents=True, exist_ok=True)
        with FileLock(runs_dir / "mlflow.lock"):  # one process makes the database and the experiment
            client = MlflowClient(self._uri)
            goes_on = (address.folder / RESUME).is_file()
            earlier = _earlier(client, address.id, settings.experiment) if goes_on else None
            self._logger = MLFlowLogger(
                experiment_name=settings.experiment,
                run_name=run_name(config),
                tracking_uri=self._uri,
                tags={ID: address.id, "group": group_of(config), **_tags(config)},
                artifact_location=f"{runs_dir}/mlflow" if self._uri.startswith(SQLITE) else None,
                run_id=earlier,
            )
            assert self._logger.run_id
        if earlier:
            client.update_run(earlier, status="RUNNING")
        else:
            self._logger.log_hyperparams(config.to_dict())

    def log_metrics(self, metrics: Mapping[str, Any], step: int) -> None:
        """Adds points to the curves."""
        self._logger.log_metrics(metrics, step)

    def log_results(self, record: Record, folder: Path) -> None:
        """Adds the results of a finished run."""
        self.log_metrics(summary_values(record), record.cost.steps)
        for name in (RECORD, ADAPTER, PREDICTIONS) if self._artifacts else ():
            if (folder / name).is_file():
                self._logger.experiment.log_artifact(self._logger.run_id, str(folder / name))

    def close(self, exit_code: int, folder: Path) -> None:
        """Ends the MLflow run, and prints its address or the command that shows all runs."""
        self._logger.experiment.set_terminated(self._logger.run_id, STATUS[exit_code])
        if self._uri.startswith("http"):
            place = f"{self._uri}/#/experiments/{self._logger.experiment_id}/runs/{self._logger.run_id}"
        else:
            place = shlex.join(["mlflow", "ui", "--backend-store-uri", self._uri])
        self.announce(place)


def _earlier(client: MlflowClient, run: str, experiment: str) -> str | None:
    """MLflow's id of the latest run with the id `run` of lnbench; None if there is none."""
    known = client.get_experiment_by_name(experiment)
    if known is None:
        return None
    query, latest = f"tags.`{ID}` = '{run}'", ["attributes.start_time DESC"]
    found = client.search_runs([known.experiment_id], query, order_by=latest, max_results=1)
    return str(found[0].info.run_id) if found else None


def _tags(config: RunConfig) -> dict[str, str]:
    return {
        "method": config.method_name,
        "task": config.task.name,
        "model": config.model.name,
        "seed": str(config.seed),
    }
