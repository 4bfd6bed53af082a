"""How far training moved the gain and the bias of each layer's norms."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from lnbench.records.record import Record
from lnbench.records.shift import Norm, Term
from lnbench.report.plots.plot import Plot, Trace, new_figure, plain
from lnbench.report.tables.table import rows_of

if TYPE_CHECKING:
    import pandas as pd

KIND = "Shift of the norms"
NORMS: dict[Norm, str] = {
    "embedding": "before the blocks",
    "first": "first in the blocks",
    "other": "beside the blocks",
    "query": "of queries",
    "key": "of keys",
    "mha_output": "of MHA's output",
    "mha": "after MHA",
    "cross": "after cross-attention",
    "ffn_output": "of FFN's output",
    "ffn": "after FFN",
    "final": "final",
}
TERMS: tuple[Term, ...] = ("gain", "bias")
CAPTION = (
    "Mean of |w - w₀| over the elements of each gain and bias, w₀ being its pretrained value, at the best checkpoint; "
    "means over seeds. All panels have one scale."
)

Row = tuple[str, Norm]
"""A side of an encoder-decoder (empty for other models), and a norm of its blocks."""
Panel = dict[tuple[str, int], float]
"""By task and layer."""


@dataclass(frozen=True)
class Grid:
    """The places of the panels of a figure.

    Attributes:
        axes: names of the two axes of each panel.
        layout: layout of the figure, as plotly's JSON.
    """

    axes: Mapping[tuple[Row, Term], tuple[str, str]]
    layout: Mapping[str, Any]


def shift_plots(name: str, title: str, runs: pd.DataFrame, records: Mapping[str, Record]) -> Iterator[Plot]:
    """One plot for each method that trains norms.

    Args:
        name: name of the runs, for names of files.
        title: text with the common properties of the runs.
        runs: runs of one model and one setting, each method at one learning rate.
        records: records of the runs, by id.
    """
    for number, row in enumerate(rows_of(runs), start=1):
        panels = _panels([records[one] for one in row.runs["id"]])
        if panels:
            yield Plot(f"shift-{name}-{number}", KIND, f"{row.label}, {title}", CAPTION, _figure(panels))


def _panels(records: Sequence[Record]) -> dict[tuple[Row, Term], Panel]:
    values: dict[tuple[Row, Term], dict[tuple[str, int], list[float]]] = defaultdict(lambda: defaultdict(list))
    for record in records:
        for shift in record.shift:
            values[(shift.side or "", shift.norm), shift.term][record.task, shift.layer].append(shift.mean_abs)
    return {key: {place: fmean(found) for place, found in panel.items()} for key, panel in values.items()}


def _figure(panels: Mapping[tuple[Row, Term], Panel]) -> go.Figure:
    rows: list[Row] = [(side, norm) for side in ("", "encoder", "decoder") for norm in NORMS]
    norms = tuple(row for row in rows if any(known == row for known, _ in panels))
    places = {place for panel in panels.values() for place in panel}
    tasks, layers = sorted({task for task, _ in places}), sorted({layer for _, layer in places})
    grid = _grid(norms, len(tasks), len(layers))
    traces = [
        {**_heat_map(panels.get(panel, {}), tasks, layers), "xaxis": x, "yaxis": y}
        for panel, (x, y) in grid.axes.items()
    ]
    return go.Figure(data=traces, layout=grid.layout)


@functools.cache
def _grid(norms: tuple[Row, ...], tasks: int, layers: int) -> Grid:
    """The grid for some norms and numbers of tasks and layers. Plotly makes it slowly, so equal figures share it."""
    figure = make_subplots(
        rows=len(norms),
        cols=len(TERMS),
        shared_xaxes=True,
        shared_yaxes=True,
        horizontal_spacing=0.03,
        vertical_spacing=0.16 / len(norms),
        subplot_titles=[
            f"{term}, {f'{side}, ' if side else ''}{NORMS[norm]}" for side, norm in norms for term in TERMS
        ],
        figure=new_figure("", "", height=180 + len(norms) * (60 + 26 * tasks)),
    )
    panels: list[tuple[Row, Term]] = [(norm, term) for norm in norms for term in TERMS]
    for place in range(len(panels)):
        figure.add_trace(go.Heatmap(), row=1 + place // len(TERMS), col=1 + place % len(TERMS))
    figure.update_annotations(font_size=13)
    figure.update_xaxes(title_text="layer", row=len(norms))
    figure.update_xaxes(showgrid=False, dtick=max(1, layers // 12))
    figure.update_yaxes(showgrid=False, type="category", autorange="reversed")
    bar = {"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom", "thickness": 12, "nticks": 6}
    bar["title"] = {"text": "mean |w - w₀|", "side": "bottom"}
    figure.update_layout(coloraxis={"colorscale": "Cividis", "colorbar": bar}, margin_b=130, margin_t=32)
    axes = {panel: (trace.xaxis, trace.yaxis) for panel, trace in zip(panels, figure.data, strict=True)}
    return Grid(axes, figure.layout.to_plotly_json())


def _heat_map(panel: Panel, tasks: Sequence[str], layers: Sequence[int]) -> Trace:
    rows = [[panel.get((task, layer)) for layer in layers] for task in tasks]
    return {
        "type": "heatmap",
        "x": list(layers),
        "y": [plain(task) for task in tasks],
        "z": [[None if value is None else float(f"{value:.4g}") for value in row] for row in rows],
        "coloraxis": "coloraxis",
        "xgap": 1,
        "ygap": 1,
        "hovertemplate": "%{y}, layer %{x}: %{z:.3g}<extra></extra>",
    }
