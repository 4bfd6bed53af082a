"""All plots of a report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lnbench.report.claims.pairs import at_best_rate
from lnbench.report.plots.ablation import ablation_plots
from lnbench.report.plots.curves import curve_plots
from lnbench.report.plots.plot import Plot, styles
from lnbench.report.plots.ranks import rank_plots
from lnbench.report.plots.shift import shift_plots
from lnbench.report.plots.tradeoff import tradeoff_plots
from lnbench.report.tables.scores import ABLATED
from lnbench.report.tables.table import rows_of
from lnbench.report.tables.tables import places

if TYPE_CHECKING:
    import pandas as pd

    from lnbench.report.load import Loaded


def make_plots(loaded: Loaded, runs: pd.DataFrame) -> list[Plot]:
    """Plots of ranks, scores against costs, learning curves, ablations and shifts, with plots of one kind together.

    Each method is shown at the learning rate that validated best.

    Args:
        loaded: records, and the folders of their runs.
        runs: table from `lnbench.report.load.frame`.
    """
    best = at_best_rate(runs).assign(lr="")
    look = styles(row.label for row in rows_of(best))
    records = {record.id: record for record in loaded.records}
    found = list(places(best))
    methods = list(places(best[~best["variant"].str.contains(ABLATED)]))
    made = [
        *(plot for name, title, own in methods for plot in rank_plots(name, title, own)),
        *(plot for name, title, own in methods for plot in tradeoff_plots(name, title, own, look)),
        *(plot for name, title, own in methods for plot in curve_plots(name, title, own, look, loaded.folders)),
        *(plot for name, title, own in found for plot in ablation_plots(name, title, own)),
        *(plot for name, title, own in found for plot in shift_plots(name, title, own, records)),
    ]
    kinds = list(dict.fromkeys(plot.kind for plot in made))
    return sorted(made, key=lambda plot: kinds.index(plot.kind))
