"""Plots of ablations of LN-tuning, which show the score without some part of the method."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from lnbench.report.claims.pairs import SAME, resolution_of
from lnbench.report.claims.statistics import LEAST_PAIRS, Difference, compare
from lnbench.report.plots.plot import COLOURS, NEUTRAL, Plot, new_figure, plain
from lnbench.report.tables.units import averaged, metric_in, titles_in

if TYPE_CHECKING:
    import pandas as pd

KIND = "Ablations"
CAPTION = (
    "Difference of the test score from the whole method, of pairs of runs of equal task and seed, each at its best "
    f"learning rate. Bars are means over pairs, lines 95% confidence intervals (from {LEAST_PAIRS} pairs on)."
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
    scale, whole = metric_in(runs).factor, runs[runs["variant"] == method]
    for variant, found in runs[runs["variant"] != method].groupby("variant"):
        pairs = found.merge(whole, on=SAME, suffixes=("", "_whole"))
        if len(pairs):
            resolution = scale * resolution_of(pairs["score"], pairs["score_whole"])
            yield Bar(str(variant), compare((scale * (pairs["score"] - pairs["score_whole"])).tolist(), resolution))


def _figure(bars: list[Bar], unit: str) -> go.Figure:
    figure = new_figure(unit, "", height=150 + 44 * len(bars), showlegend=False, bargap=0.4)
    figure.add_vline(0, line={"color": NEUTRAL, "width": 1.5})
    figure.update_yaxes(autorange="reversed", showgrid=False)
    means = [bar.difference.mean for bar in bars]
    figure.add_bar(
        x=means,
        y=[plain(bar.label) for bar in bars],
        orientation="h",
        marker={"color": COLOURS[0], "opacity": 0.5},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [_length(bar.difference.high, mean) for bar, mean in zip(bars, means, strict=True)],
            "arrayminus": [_length(mean, bar.difference.low) for bar, mean in zip(bars, means, strict=True)],
            "color": NEUTRAL,
            "thickness": 2,
        },
        customdata=[bar.difference.n for bar in bars],
        hovertemplate="%{y}: %{x:+.4~f} (%{customdata} pairs)<extra></extra>",
    )
    return figure


def _length(end: float | None, start: float | None) -> float:
    return 0.0 if end is None or start is None else end - start
