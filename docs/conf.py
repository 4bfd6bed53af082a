"""Settings of the documentation's site, which Sphinx makes of the Markdown files: `make docs`."""

import io
from pathlib import Path

from rich.console import Console
from sphinx.application import Sphinx

import lnbench
from lnbench.report.claims.claims import read_claims
from lnbench.report.load import load_runs
from lnbench.report.write import write_report

project = "lnbench"
author = copyright = "lnbench authors"
version = release = lnbench.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "docs/index"
include_patterns = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "docs/*.md", "findings/README.md"]
exclude_patterns = [".*"]  # is not searched for documents: .venv has more files than all else
html_theme = "furo"
html_extra_path = ["site"]
nitpicky = False

myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_class_signature = "separated"
default_role = "code"  # docstrings write code between single backquotes, as Markdown does


def setup(app: Sphinx) -> None:
    """Registers what Sphinx does besides."""
    app.connect("build-finished", write_page)


def write_page(app: Sphinx, error: Exception | None) -> None:
    """Writes the report of the published runs beside docs/index.html."""
    if error is None and app.builder.format == "html":
        published = load_runs(Path(app.srcdir) / "results")
        folder = Path(app.outdir) / "docs" / "report"
        write_report(published, read_claims(), folder, Console(file=io.StringIO()), images=False)
