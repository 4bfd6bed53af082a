"""A report as one HTML page that needs nothing else."""

from lnbench.report.page.write import write_page

__all__ = ["write_page"]
