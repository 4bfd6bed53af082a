"""Fills the templates of the page."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from plotly.io import to_json
from plotly.offline import get_plotlyjs

from lnbench import __version__
from lnbench.core.atomic_files import write_atomically
from lnbench.core.words import number_of
from lnbench.records.baseline import footnote, marked
from lnbench.report.claims import judgement, paths
from lnbench.report.claims.verdicts import Verdict
from lnbench.report.history import MOST_POINTS
from lnbench.report.load import Loaded
from lnbench.report.page.details import HEADINGS, MOST_OPENED, details, problem_rows, run_rows
from lnbench.report.page.interval import WIDTH, intervals
from lnbench.report.plots.plot import Plot, Theme, template
from lnbench.report.tables.table import Table

if TYPE_CHECKING:
    import pandas as pd

FOLDER = Path(__file__).parent
THEMES: tuple[Theme, ...] = ("light", "dark")
SCRIPTS = ("common.js", "tables.js", "plots.js")
OPENED, MANY = "runs.js", "many_runs.js"
"""Scripts of the list of runs: with the details of each run, or too long for that."""


def write_page(
    loaded: Loaded,
    runs: pd.DataFrame,
    tables: Sequence[Table],
    verdicts: Sequence[Verdict],
    plots: Sequence[Plot],
    path: Path,
) -> None:
    """Writes a page with all results, which loads nothing from other files or the network.

    With more than `MOST_OPENED` runs, the page has the list of the runs as texts, and not the details of each run.

    Args:
        loaded: records, and the folders of their runs.
        runs: table from `lnbench.report.load.frame`.
        tables: tables of the report.
        verdicts: verdicts on all claims.
        plots: plots of the report, with plots of one kind together.
        path: file to write.

    Raises:
        OSError: the page cannot be written.
    """
    claims = [(one, list(zip(one.findings, intervals(one.findings), strict=True))) for one in verdicts]
    rows, opened = run_rows(runs), len(loaded.records) <= MOST_OPENED
    content = {
        "loaded": loaded,
        "opened": opened,
        "rows": rows,
        "texts": [] if opened else [[cell.text for cell in row] for row in rows],
        "details": details(loaded) if opened else {},
        "poor": runs.loc[runs["no_better"].astype(bool), "baseline"].tolist(),
        "problems": problem_rows(loaded),
        "scores": [table for table in tables if table.of_scores],
        "costs": [table for table in tables if not table.of_scores],
        "claims": claims,
        "without_runs": [(verdict, findings) for verdict, findings in claims if not verdict.has_pairs],
        "paths": [(paths.title_of(one), one.level, paths.rows(one)) for one in paths.read_paths(loaded.runs_dir)],
        "kinds": [(kind, list(found)) for kind, found in groupby(plots, key=lambda plot: plot.kind)],
    }
    write_atomically(path, _environment(OPENED if opened else MANY).get_template("page.html").render(content))


def _environment(of_runs: str) -> Environment:
    """The templates, with the values that are the same on every page.

    Args:
        of_runs: script of the list of runs.
    """
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "cells": judgement.cells,
        "figure": _figure,
        "json": _json,
        "marked": marked,
        "footnote": footnote,
    }
    plotly = get_plotlyjs()
    script = "\n".join((FOLDER / name).read_text(encoding="utf-8") for name in (*SCRIPTS, of_runs))
    environment.globals |= {
        "style": Markup((FOLDER / "page.css").read_text(encoding="utf-8")),
        "plotly": Markup(plotly),
        "script": Markup(script),
        "hashes": [_hash(plotly), _hash(script)],
        "templates": {theme: template(theme).to_plotly_json() for theme in THEMES},
        "version": __version__,
        "made_at": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "outcomes": judgement.SIGNS,
        "of_claims": judgement.OF_CLAIMS,
        "headings": judgement.HEADINGS,
        "explanation": judgement.EXPLANATION,
        "path_headings": paths.HEADINGS,
        "about_paths": paths.ABOUT,
        "number_of": number_of,
        "width": WIDTH,
        "most_points": MOST_POINTS,
        "run_headings": HEADINGS,
    }
    return environment


def _json(value: Any) -> Markup:
    """JSON that is safe in a script element, whatever text it contains."""
    dump = partial(json.dumps, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    try:
        return _harmless(dump(value))
    except ValueError:  # a number that JSON does not support
        return _harmless(dump(_finite(value)))


def _finite(value: Any) -> Any:
    """The value with texts for numbers that JSON does not support."""
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, dict):
        return {str(key): _finite(one) for key, one in value.items()}
    return [_finite(one) for one in value] if isinstance(value, list | tuple) else value


def _figure(plot: Plot) -> Markup:
    return _harmless(to_json(plot.figure, validate=False))


def _harmless(text: str) -> Markup:
    escaped = text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
    return Markup(escaped)


def _hash(script: str) -> str:
    """The hash by which the page allows its own script. No script injected through a name can then run."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
