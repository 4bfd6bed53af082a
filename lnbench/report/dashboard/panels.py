"""W&B's own plots of runs, and filters for the runs in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import wandb_workspaces.reports.v2 as wr
from wandb_workspaces.reports.v2.interface import PanelTypes

from lnbench.records.variant import RATE, all_changes
from lnbench.report.plots.curves import LOSS, VALIDATION
from lnbench.tasks.scores.metric import Metric, metric_of

if TYPE_CHECKING:
    import pandas as pd

    from lnbench.report.load import Loaded

STEP = "trainer/global_step"
"""The x-axis of all curves, under the name in `lnbench.training.loggers.wandb_log`."""
COSTS = {
    "cost/train_seconds": "Training time (s)",
    "cost/peak_memory_bytes": "Peak memory (bytes)",
    "cost/train_samples_per_second": "Samples per second in training",
    "cost/test_samples_per_second": "Samples per second in testing",
}
COLUMNS = [
    "run:displayName",
    "config:seed.value",
    "summary:score",
    "summary:parameters/trained",
    "summary:cost/train_seconds",
    "summary:cost/peak_memory_bytes",
]
"""Columns of the table of runs; `score` is the validation score."""
MOST_SHOWN = 100
"""Largest number of groups in one plot."""


Named = Mapping[str, Metric]
"""Metrics by their names at W&B."""


def metrics_in(runs: pd.DataFrame) -> Named:
    """The metrics that selected the checkpoints of runs.

    Args:
        runs: table from `lnbench.report.load.frame`.
    """
    return {name: metric_of(name, mode) for name, mode in zip(runs["metric"], runs["mode"], strict=True)}


def score_panels(metrics: Named) -> list[PanelTypes]:
    """Plots of the test scores, and of the scores against the number of trained parameters, for each metric."""
    bars = [_bars(f"test/{name}", f"Test {metric.logged}") for name, metric in metrics.items()]
    return [*bars, *(_tradeoff("parameters/trained", "trained parameters", *item) for item in metrics.items())]


def curve_panels(metrics: Named) -> list[PanelTypes]:
    """Plots of the validation scores by step, for each metric, and of the training loss."""
    return [
        *(_curve(VALIDATION + name, f"Validation {metric.logged}") for name, metric in metrics.items()),
        _curve(LOSS, LOSS),
    ]


def cost_panels(metrics: Named) -> list[PanelTypes]:
    """Plots of times and memory, and of test scores against training time. Only equal hardware is comparable."""
    bars = [_bars(key, title) for key, title in COSTS.items()]
    return [*bars, *(_tradeoff("cost/train_seconds", "training time", *item) for item in metrics.items())]


def overview_panels() -> list[PanelTypes]:
    """Plots in which all runs of a project can be compared."""
    return [_scatter("parameters/trained", "score", "Validation score against trained parameters")]


def only(runs: pd.DataFrame) -> str:
    """A filter that exactly these runs pass.

    Args:
        runs: table from `lnbench.report.load.frame`.
    """
    return f"Metric('ID') in {runs['id'].tolist()!r}"


def changed_settings(runs: pd.DataFrame, loaded: Loaded) -> list[str]:
    """Dotted names of the settings in which variants of one method differ, as in a run's configuration.

    Args:
        runs: table from `lnbench.report.load.frame`.
        loaded: records of the runs.
    """
    changed = set(runs.loc[runs["variant"] != runs["method"], "id"])
    parts = [record.config["method"] for record in loaded.records if record.id in changed]
    names = {name for own in parts for name in all_changes(own)}
    return [f"method.{name}" for name in sorted(names) if name.partition(".")[2] != RATE]


def _bars(key: str, title: str) -> wr.BarPlot:
    return wr.BarPlot(
        title=title,
        metrics=[key],
        groupby_aggfunc="mean",
        groupby_rangefunc="stddev",
        max_runs_to_show=MOST_SHOWN,
        max_bars_to_show=MOST_SHOWN,
    )


def _tradeoff(key: str, expense: str, name: str, metric: Metric) -> wr.ScatterPlot:
    return _scatter(key, f"test/{name}", f"Test {metric.logged} against {expense}")


def _scatter(x: str, y: str, title: str) -> wr.ScatterPlot:
    return wr.ScatterPlot(title=title, x=wr.SummaryMetric(x), y=wr.SummaryMetric(y), log_x=True)


def _curve(key: str, title: str) -> wr.LinePlot:
    return wr.LinePlot(
        title=title,
        x=STEP,
        y=[key],
        title_x="training step",
        groupby_aggfunc="mean",
        groupby_rangefunc="stddev",
        smoothing_type="none",
        max_runs_to_show=MOST_SHOWN,
    )
