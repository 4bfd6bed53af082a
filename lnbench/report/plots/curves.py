"""Plots of learning curves: the validation score and the training loss by step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from lnbench.report.history import MOST_POINTS, mean_curve, read_curves, thinned
from lnbench.report.plots.plot import Plot, Style, Trace, new_figure, plain
from lnbench.report.tables.table import rows_of
from lnbench.report.tables.units import metric_in

if TYPE_CHECKING:
    import pandas as pd

KIND = "Learning curves"
LOSS, VALIDATION = "train/loss", "validation/"
CAPTION = (
    "Each method at its best learning rate. Means over seeds, at the steps that all seeds have. The training loss is "
    f"that of single batches. Curves are thinned to at most {MOST_POINTS} points."
)

Folders = Mapping[str, Path]
"""Folders of runs by their ids."""


def curve_plots(name: str, title: str, runs: pd.DataFrame, look: dict[str, Style], folders: Folders) -> Iterator[Plot]:
    """One plot for each task.

    Args:
        name: start of the plots' file names.
        title: text with the common properties of the runs.
        runs: runs of one model and one setting, each method at one learning rate.
        look: look of each label.
        folders: folder of each run.
    """
    for task, found in runs.groupby("task"):
        lines = [line for row in rows_of(found) for line in _lines(row.label, row.runs, look[row.label], folders)]
        if lines:
            figure = _figure(lines, metric_in(found).heading)
            yield Plot(f"curves-{name}-{task}", KIND, f"{task}, {title}", CAPTION, figure)


def _lines(label: str, runs: pd.DataFrame, look: Style, folders: Folders) -> Iterator[Trace]:
    """The validation score, for the upper panel, and the loss, for the lower one."""
    score, metric = f"{VALIDATION}{runs['metric'].iloc[0]}", metric_in(runs)
    curves = [read_curves(folders[one], (score, LOSS)) for one in runs["id"]]
    for column, axis, factor in ((score, "y", metric.factor), (LOSS, "y2", 1.0)):
        known = [curve[column] for curve in curves if column in curve]
        line = thinned(mean_curve(known))
        if line:
            yield {
                "type": "scatter",
                "x": list(line),
                "y": [float(f"{factor * value:.5g}") for value in line.values()],
                "yaxis": axis,
                "mode": "lines+markers" if len(line) < 30 else "lines",
                "name": plain(label),
                "legendgroup": label,
                "showlegend": axis == "y",
                "line": {"color": look.colour, "dash": look.dash, "width": 2 if axis == "y" else 1.2},
                "marker": {"symbol": look.symbol, "size": 5},
                "hovertemplate": f"step %{{x}}: %{{y:.4f}}, n = {len(known)}",
            }


def _figure(lines: list[Trace], heading: str) -> go.Figure:
    figure = new_figure("training step", f"validation {plain(heading)}", len(lines) // 2)
    figure.update_layout(
        height=figure.layout.height + 120,
        yaxis={"domain": [0.42, 1]},
        yaxis2={"domain": [0, 0.34], "title": {"text": "training loss"}, "automargin": True},
        xaxis={"anchor": "y2", "rangemode": "tozero"},
    )
    figure.add_traces(lines)
    return figure
