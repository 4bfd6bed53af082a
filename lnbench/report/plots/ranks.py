"""Plots of the possible ranks of each method, given the chance in the seeds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from lnbench.core.names import plain_name
from lnbench.report.claims.ranks import Ranks
from lnbench.report.plots.plot import COLOURS, Plot, new_figure, plain
from lnbench.report.tables.scores import ranks_by_unit
from lnbench.report.tables.table import rows_of

if TYPE_CHECKING:
    import pandas as pd

KIND = "Ranks"
CAPTION = (
    "Possible ranks of each method, from paired differences on these tasks, where only the seeds are random. Each "
    "method is at its best learning rate. With a probability of 95%, all ranks are right. Methods whose bars begin at "
    "1 may be the best. Methods that have not run on all tasks have no rank."
)


def rank_plots(name: str, title: str, runs: pd.DataFrame) -> Iterator[Plot]:
    """A plot for each unit of the scores in which methods can be compared.

    Args:
        name: start of the plots' file names.
        title: text with the common properties of the runs.
        runs: runs of one model and one setting, each method at one learning rate.
    """
    for heading, ranks in ranks_by_unit(rows_of(runs), runs):
        shown = f"{title}, {heading}" if heading != "rank" else title
        yield Plot(f"{plain_name(heading)}-{name}", KIND, shown, CAPTION, _figure(ranks))


def _figure(ranks: dict[str, Ranks]) -> go.Figure:
    ordered = sorted(ranks.items(), key=lambda item: (item[1].best, item[1].worst, item[0]))
    axis = {"title": {"text": "rank"}, "range": [0.4, len(ranks) + 0.6], "dtick": max(1, len(ranks) // 10), "tick0": 1}
    figure = new_figure("rank", "", height=130 + 30 * len(ranks), showlegend=False, bargap=0.5, xaxis=axis)
    figure.update_yaxes(autorange="reversed", showgrid=False)
    figure.add_bar(
        base=[found.best - 0.25 for _, found in ordered],
        x=[found.worst - found.best + 0.5 for _, found in ordered],
        y=[plain(label) for label, _ in ordered],
        orientation="h",
        marker={"color": COLOURS[0], "opacity": 0.6},
        customdata=[str(found) for _, found in ordered],
        hovertemplate="%{y}: rank %{customdata}<extra></extra>",
    )
    return figure
