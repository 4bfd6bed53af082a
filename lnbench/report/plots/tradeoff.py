"""Plots of scores against costs, with the Pareto front of the methods."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import log10
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Literal

import plotly.graph_objects as go

from lnbench.records.baseline import footnote, marked
from lnbench.report.plots.plot import NEUTRAL, Plot, Style, Trace, new_figure, plain
from lnbench.report.tables.units import averaged, heading_of, metric_in

if TYPE_CHECKING:
    import pandas as pd

Expense = Literal["trained", "train_seconds"]
KINDS: dict[Expense, str] = {
    "trained": "Score against trained parameters",
    "train_seconds": "Score against training time",
}
AXES: dict[Expense, str] = {
    "trained": "trained parameters (log scale)",
    "train_seconds": "training time (s, log scale)",
}
CAPTION = (
    "One point a method, at its best learning rate: the mean test score over seeds; bars are ± 1 standard deviation. "
    "The grey line joins the methods that no other one beats in both directions (Pareto front)."
)
HEAD = "Parameters of the task's head are not counted."
AVERAGE = "Averages are over all tasks of one unit and scale, for the methods that have run on all of them."
FREE = "A dotted line is a method that trains nothing but the head."


@dataclass(frozen=True)
class Point:
    """One method in a plot.

    Attributes:
        label: name that is unique in the plot.
        expense: cost, 0 or more.
        score: mean over seeds.
        deviation: sample standard deviation; 0 for a single seed.
        seeds: number of seeds.
        no_better: whether a run is no better than its baseline.
    """

    label: str
    expense: float
    score: float
    deviation: float
    seeds: int
    no_better: bool = False

    @property
    def name(self) -> str:
        """The label as plotly shows it."""
        return plain(marked(self.label, self.no_better))


def tradeoff_plots(name: str, title: str, runs: pd.DataFrame, look: dict[str, Style]) -> Iterator[Plot]:
    """Plots of score against trained parameters, and against training time on each hardware, by task and on average.

    Args:
        name: start of the plots' file names.
        title: text with the common properties of the runs.
        runs: runs of one model and one setting, each method at one learning rate.
        look: look of each label.
    """
    yield from _plots("trained", name, title, runs, look)
    groups = list(runs.groupby("hardware"))
    for number, (hardware, found) in enumerate(groups, start=1):
        own = f"{name}-{number}" if len(groups) > 1 else name
        yield from _plots("train_seconds", own, f"{title}; {hardware}", found, look)


def pareto_front(points: Sequence[Point], larger: bool) -> list[Point]:
    """The points that no other point beats in both expense and score, by increasing expense."""
    front: list[Point] = []
    for point in sorted(points, key=lambda point: (point.expense, -point.score if larger else point.score)):
        if not front or (point.score > front[-1].score if larger else point.score < front[-1].score):
            front.append(point)
    return front


def ticks(span: Sequence[float]) -> int | str | None:
    """Distance of the ticks of a logarithmic axis, as plotly writes it, so that their labels do not overlap.

    Args:
        span: decimal logarithms of the axis' ends.
    """
    decades = span[1] - span[0]
    if decades > 3:
        return 1
    return "D2" if decades > 0.8 else None  # 1, 2 and 5 times powers of ten; in less there may be none of them


def _plots(expense: Expense, name: str, title: str, runs: pd.DataFrame, look: dict[str, Style]) -> Iterator[Plot]:
    order = list(look)
    for subject, found in _subjects(runs).items():
        points = sorted(_points(expense, found), key=lambda point: order.index(point.label))
        if sum(point.expense > 0 for point in points) < 2:
            continue
        larger, several = metric_in(found).mode == "max", found["task"].nunique() > 1
        poor = found.loc[found["no_better"].astype(bool), "baseline"]
        notes = {
            CAPTION: True,
            HEAD: expense == "trained",
            AVERAGE: several,
            footnote(poor): len(poor) > 0,
            FREE: any(not point.expense for point in points),
        }
        yield Plot(
            name=f"{expense}-{name}-{f'average-{metric_in(found).unit}' if several else subject}",
            kind=KINDS[expense],
            title=f"{subject}, {title}",
            caption=" ".join(note for note, holds in notes.items() if holds),
            figure=_figure(points, AXES[expense], f"test {plain(heading_of(found))}", larger, look),
        )


def _subjects(runs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The runs of each unit that can be averaged, and the runs of each task."""
    return {**averaged(runs), **{str(task): found for task, found in runs.groupby("task")}}


def _points(expense: Expense, runs: pd.DataFrame) -> Iterator[Point]:
    """Points of the methods that have run on all tasks. Averages are over tasks for each seed, then over seeds."""
    scale, poor = metric_in(runs).factor, set(runs.loc[runs["no_better"].astype(bool), "variant"])
    scores = runs.pivot_table(index=["variant", "seed"], columns="task", values="score").dropna().mean(axis=1)
    costs = runs.groupby(["variant", "task"])[expense].mean().groupby("variant").mean().to_dict()
    for variant, found in scores.groupby("variant"):
        values = (scale * found).tolist()
        spread = stdev(values) if len(values) > 1 else 0.0
        yield Point(str(variant), float(costs[variant]), fmean(values), spread, len(values), variant in poor)


def _figure(points: Sequence[Point], x: str, y: str, larger: bool, look: dict[str, Style]) -> go.Figure:
    figure = new_figure(x, y, len(points))
    paid = [point for point in points if point.expense > 0]
    span = _range([point.expense for point in paid])
    figure.update_xaxes(type="log", tickformat="~s", range=span, dtick=ticks(span))
    front = pareto_front(paid, larger)
    for point in points:
        if not point.expense:
            figure.add_hline(point.score, line={"color": look[point.label].colour, "dash": "dot"})
            name = {"text": point.name, "showarrow": False, "y": point.score, "yanchor": "bottom"}
            figure.add_annotation(x=1, xref="paper", xanchor="right", **name)
    figure.add_scatter(
        x=[point.expense for point in front],
        y=[point.score for point in front],
        mode="lines+text",
        text=[f"{point.name}\u2002" for point in front],
        textposition="top left",
        cliponaxis=False,
        line={"color": NEUTRAL, "width": 1.5, "shape": "hv"},
        showlegend=False,
        hoverinfo="skip",
    )
    figure.add_traces([_marker(point, look[point.label]) for point in paid])
    return figure


def _range(expenses: Sequence[float]) -> list[float]:
    """Range of a logarithmic axis, with room for the names at its ends."""
    low, high = log10(min(expenses)), log10(max(expenses))
    room = max(0.1, 0.15 * (high - low))
    return [low - room, high + room]


def _marker(point: Point, look: Style) -> Trace:
    return {
        "type": "scatter",
        "x": [point.expense],
        "y": [point.score],
        "error_y": {"type": "data", "array": [point.deviation], "thickness": 1, "visible": point.seeds > 1},
        "mode": "markers",
        "name": point.name,
        "marker": {"color": look.colour, "symbol": look.symbol, "size": 11},
        "customdata": [[point.deviation, point.seeds]],
        "hovertemplate": "%{y:.2f} ± %{customdata[0]:.2f}, n = %{customdata[1]}<br>%{x:,.5~r}",
    }
