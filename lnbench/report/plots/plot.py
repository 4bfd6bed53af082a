"""A plot, and the common look of all plots."""

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from itertools import cycle
from typing import Any, Literal

import plotly.graph_objects as go

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C8C8C")
"""Okabe and Ito's palette for colour-blind readers, without the colours that are invisible on white or on black."""
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "star")
DASHES: tuple[str, ...] = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
NEUTRAL = "#808890"
"""Colour of everything that belongs to no method; readable on white and on black."""

Theme = Literal["light", "dark"]
Trace = dict[str, Any]
"""A trace as plotly's JSON. A figure takes it in half of the time that it takes a trace object in."""


@dataclass(frozen=True)
class Plot:
    """One plot.

    Attributes:
        name: name of its files, without the ending.
        kind: common heading of similar plots; the reader of a page chooses one plot of each kind.
        title: title of the plot within its kind.
        caption: explanation for the reader.
        figure: figure without title and theme, which depend on the place where it is shown.
    """

    name: str
    kind: str
    title: str
    caption: str
    figure: go.Figure


@dataclass(frozen=True)
class Style:
    """The colour and symbol of a method in all plots."""

    colour: str
    symbol: str
    dash: str


def styles(labels: Iterable[str]) -> dict[str, Style]:
    """A look for each label, in the order of the labels. The colours repeat sooner than the symbols."""
    wheel = cycle([(symbol, dash) for symbol, dash in zip(SYMBOLS, DASHES, strict=True) for _ in COLOURS])
    return {label: Style(colour, *shape) for label, colour, shape in zip(labels, cycle(COLOURS), wheel, strict=False)}


def new_figure(x: str, y: str, entries: int = 0, **layout: Any) -> go.Figure:
    """An empty figure with titled axes.

    Args:
        x: title of the horizontal axis, with its unit.
        y: title of the vertical axis, with its unit.
        entries: number of entries of the legend, for which room is left below.
        layout: further settings of plotly's layout.
    """
    usual = {
        "template": "none",
        "height": 400 + 12 * entries,
        "margin": {"l": 64, "r": 16, "t": 16, "b": 56},
        "legend": {"orientation": "h", "yref": "container", "yanchor": "bottom", "y": 0, "x": 0},
        "hovermode": "closest",
        "xaxis": {"title": {"text": x}, "automargin": True},
        "yaxis": {"title": {"text": y}, "automargin": True},
    }
    return go.Figure(layout={**usual, **layout})


def plain(text: str) -> str:
    """A text in which plotly does not interpret tags."""
    return escape(text, quote=False)


def template(theme: Theme) -> go.layout.Template:
    """Colours and fonts of a theme, on a transparent background."""
    ink, grid = {"light": ("#24292f", "#e4e7eb"), "dark": ("#d7dce2", "#333a42")}[theme]
    axis = {"gridcolor": grid, "zerolinecolor": grid, "linecolor": NEUTRAL, "ticks": "outside", "tickcolor": NEUTRAL}
    ground = "rgba(0,0,0,0)"
    return go.layout.Template(
        layout={
            "paper_bgcolor": ground,
            "plot_bgcolor": ground,
            "font": {"color": ink, "family": "system-ui, Helvetica, Arial, sans-serif", "size": 13},
            "colorway": list(COLOURS),
            "xaxis": {**axis, "title": {"standoff": 8}},
            "yaxis": axis,
            "hoverlabel": {"namelength": -1},
        }
    )
