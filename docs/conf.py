"""Settings of the documentation's site, which Sphinx makes of the Markdown files: `make docs`."""

import lnbench

project = "lnbench"
author = copyright = "lnbench authors"
version = release = lnbench.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "docs/index"
include_patterns = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "docs/*.md", "findings/README.md"]
html_theme = "furo"
html_extra_path = ["site"]
nitpicky = False

myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_class_signature = "separated"
default_role = "code"  # docstrings write code between single backquotes, as Markdown does
