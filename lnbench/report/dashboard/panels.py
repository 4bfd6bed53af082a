"""W&B's own plots of runs, and which runs they are of."""

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
"""The x-axis of all curves, as `lnbench.training.wandb.logger` logs it."""
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
"""Of the table of runs; `score` is that of the validation split."""
MOST_SHOWN = 100
"""Groups in one plot."""


Named = Mapping[str, Metric]
"""Metrics by the names that W&B has of them."""


def metrics_in(runs: pd.DataFrame) -> Named:
    """The metrics that selected the checkpoints of runs.

    Args:
        runs: as `lnbench.report.load.frame` returns them.
    """
    return {name: metric_of(name, mode) for name, mode in zip(runs["metric"], runs["mode"], strict=True)}


def score_panels(metrics: Named) -> list[PanelTypes]:
    """Test scores, and these against the number of trained parameters, by metric."""
    bars = [_bars(f"test/{name}", f"Test {metric.logged}") for name, metric in metrics.items()]
    return [*bars, *(_tradeoff("parameters/trained", "trained parameters", *item) for item in metrics.items())]


def curve_panels(metrics: Named) -> list[PanelTypes]:
    """The course of the validation scores, by metric, and of the training loss."""
    return [
        *(_curve(VALIDATION + name, f"Validation {metric.logged}") for name, metric in metrics.items()),
        _curve(LOSS, LOSS),
    ]


def cost_panels(metrics: Named) -> list[PanelTypes]:
    """Times and memory, and the test scores against the training time; comparable on equal hardware alone."""
    bars = [_bars(key, title) for key, title in COSTS.items()]
    return [*bars, *(_tradeoff("cost/train_seconds", "training time", *item) for item in metrics.items())]


def overview_panels() -> list[PanelTypes]:
    """What all runs of a project can be compared by."""
    return [_scatter("parameters/trained", "score", "Validation score against trained parameters")]


def only(runs: pd.DataFrame) -> str:
    """A filter that these runs pass and no others.

    Args:
        runs: as `lnbench.report.load.frame` returns them.
    """
    return f"Metric('ID') in {runs['id'].tolist()!r}"


def changed_settings(runs: pd.DataFrame, loaded: Loaded) -> list[str]:
    """Dotted names of what distinguishes variants of one method, as a run's configuration has them.

    Args:
        runs: as `lnbench.report.load.frame` returns them.
        loaded: where they come from.
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
