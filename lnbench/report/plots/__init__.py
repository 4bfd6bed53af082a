"""Plots of a report: interactive plots for its page, and image files."""

from lnbench.report.plots.figures import make_plots
from lnbench.report.plots.images import write_plots

__all__ = ["make_plots", "write_plots"]
