"""Plots of a report: interactive ones for its page, and images of them."""

from lnbench.report.plots.figures import make_plots
from lnbench.report.plots.images import write_plots

__all__ = ["make_plots", "write_plots"]
