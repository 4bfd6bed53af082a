"""Writes a report as one HTML page that needs no other files."""

from lnbench.report.page.write import write_page

__all__ = ["write_page"]
