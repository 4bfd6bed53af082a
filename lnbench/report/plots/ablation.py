"""Plots of ablations of LN-tuning, which show the score without some part of the method."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from lnbench.report.claims.difference import Difference, differences_of_scores
from lnbench.report.claims.nested import LEAST_SEEDS
from lnbench.report.plots.plot import COLOURS, NEUTRAL, Plot, new_figure, plain
from lnbench.report.tables.units import averaged, metric_in, titles_in

if TYPE_CHECKING:
    import pandas as pd

KIND = "Ablations"
LEVEL = 0.05
CAPTION = (
    "Difference of the test score from the whole method, of pairs of runs of equal task and seed, each at its best "
    "learning rate. Bars are means over tasks, lines 95% confidence intervals of the mean on these tasks, each by "
    f"itself (from {LEAST_SEEDS} pairs of each task on)."
)


@dataclass(frozen=True)
class Bar:
    """A method with changed settings, compared with its shipped settings."""

    label: str
    difference: Difference


def ablation_plots(name: str, title: str, runs: pd.DataFrame) -> Iterator[Plot]:
    """Plots over all tasks, and for each task, for each method that has runs with and without changed settings.

    Args:
        name: start of the plots' file names.
        title: text with the common properties of the runs.
        runs: runs of one model and one setting, each method at one learning rate.
    """
    for method, of_method in runs.dropna(subset=["score"]).groupby("method"):
        if set(of_method["variant"]) <= {method}:
            continue
        tasks = {str(task): found for task, found in of_method.groupby("task")}
        together = {f"all {titles_in(found)} tasks": found for found in averaged(of_method).values()}
        for subject, found in {**together, **tasks}.items():
            if bars := list(_bars(str(method), found)):
                own = f"all-{metric_in(found).unit}" if found["task"].nunique() > 1 else subject
                unit = f"difference from {plain(str(method))} ({plain(metric_in(found).unit)})"
                yield Plot(
                    f"ablation-{name}-{method}-{own}",
                    KIND,
                    f"{method}, {subject}, {title}",
                    CAPTION,
                    _figure(bars, unit),
                )


def _bars(method: str, runs: pd.DataFrame) -> Iterator[Bar]:
    whole, others = runs[runs["variant"] == method], list(runs[runs["variant"] != method].groupby("variant"))
    if not others:
        return
    which = [(place, 0) for place in range(1, len(others) + 1)]
    found = differences_of_scores([whole, *(own for _, own in others)], which, metric_in(runs).factor)
    for (place, _), difference in found.items():
        yield Bar(str(others[place - 1][0]), difference)


def _figure(bars: list[Bar], unit: str) -> go.Figure:
    figure = new_figure(unit, "", height=150 + 44 * len(bars), showlegend=False, bargap=0.4)
    figure.add_vline(0, line={"color": NEUTRAL, "width": 1.5})
    figure.update_yaxes(autorange="reversed", showgrid=False)
    means = [bar.difference.mean for bar in bars]
    reaches = [_reach(bar.difference) for bar in bars]
    figure.add_bar(
        x=means,
        y=[plain(bar.label) for bar in bars],
        orientation="h",
        marker={"color": COLOURS[0], "opacity": 0.5},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": reaches,
            "arrayminus": reaches,
            "color": NEUTRAL,
            "thickness": 2,
        },
        customdata=[bar.difference.n for bar in bars],
        hovertemplate="%{y}: %{x:+.4~f} (%{customdata} pairs)<extra></extra>",
    )
    return figure


def _reach(difference: Difference) -> float:
    """Half the length of the interval; 0 where nothing can be tested."""
    if difference.here is None:
        return 0.0
    _, high = difference.here.interval(LEVEL)
    return float(high - difference.here.mean)
