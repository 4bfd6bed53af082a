"""Builds the report, which is sent later."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import wandb_workspaces.reports.v2 as wr
from wandb_workspaces.reports.v2.interface import BlockTypes, PanelTypes

from lnbench import __version__
from lnbench.core.words import number_of
from lnbench.report.claims.pairs import at_best_rate
from lnbench.report.claims.verdicts import Verdict
from lnbench.report.dashboard.markdown import claims_markdown, comparisons_markdown, table_markdown
from lnbench.report.dashboard.panels import (
    COLUMNS,
    changed_settings,
    cost_panels,
    curve_panels,
    metrics_in,
    only,
    overview_panels,
    score_panels,
)
from lnbench.report.load import Loaded
from lnbench.report.tables.table import Table
from lnbench.report.tables.tables import places

if TYPE_CHECKING:
    import pandas as pd

TITLE = "lnbench"
ABOUT_PLOTS = (
    "The plots below are of the runs in these tables, each method at the learning rate that validated best: means over "
    "seeds and, where W&B shows them, standard deviations. Runs that are not at W&B are missing in them."
)
NewRunset = Callable[..., wr.Runset]


def new_report(
    entity: str,
    project: str,
    loaded: Loaded,
    runs: pd.DataFrame,
    tables: Sequence[Table],
    verdicts: Sequence[Verdict],
) -> wr.Report:
    """Builds claims, tables of scores and of costs, both with plots, and a table of all runs of the project.

    Args:
        entity: owner of the project.
        project: project of the runs.
        loaded: records.
        runs: table from `lnbench.report.load.frame`.
        tables: tables of the report.
        verdicts: verdicts on all claims.
    """
    best, new_runset = at_best_rate(runs), partial(wr.Runset, entity=entity, project=project)
    blocks: list[BlockTypes] = [
        wr.TableOfContents(),
        wr.H1("Claims"),
        wr.MarkdownBlock(claims_markdown(verdicts)),
        wr.H2("Comparisons", collapsed_blocks=[wr.MarkdownBlock(comparisons_markdown(verdicts))]),
        wr.H1("Scores"),
        *(wr.MarkdownBlock(table_markdown(table)) for table in tables if table.of_scores),
        wr.P(ABOUT_PLOTS),
        *_score_plots(best, loaded, new_runset),
        wr.H1("Costs"),
        *(wr.MarkdownBlock(table_markdown(table)) for table in tables if not table.of_scores),
        *_cost_plots(best, loaded, new_runset),
        wr.H1("All runs of the project"),
        wr.PanelGrid(runsets=[new_runset(name="All runs", pinned_columns=COLUMNS)], panels=overview_panels()),
    ]
    about = _description(runs)
    return wr.Report(entity=entity, project=project, title=TITLE, description=about, width="fluid", blocks=blocks)


def _score_plots(runs: pd.DataFrame, loaded: Loaded, new_runset: NewRunset) -> Iterator[BlockTypes]:
    """Plots of scores for each model, setting and task."""
    for _, title, of_place in places(runs):
        for task, found in of_place.groupby("task"):
            metrics = metrics_in(found)
            yield wr.H2(f"{task}, {title}")
            yield _grid(found, loaded, new_runset, [*score_panels(metrics), *curve_panels(metrics)])


def _cost_plots(runs: pd.DataFrame, loaded: Loaded, new_runset: NewRunset) -> Iterator[BlockTypes]:
    """Plots of costs for each model, setting and hardware, because times are comparable only on equal hardware."""
    for _, title, of_place in places(runs):
        for hardware, found in of_place.groupby("hardware"):
            yield wr.H2(f"{title}; {hardware}")
            yield _grid(found, loaded, new_runset, cost_panels(metrics_in(found)))


def _grid(runs: pd.DataFrame, loaded: Loaded, new_runset: NewRunset, panels: list[PanelTypes]) -> wr.PanelGrid:
    """A grid with plots of some runs. All repetitions share one bar, point or curve."""
    groupby = ["group", *(f"config.{name}" for name in changed_settings(runs, loaded))]
    runset = new_runset(name="Runs of the tables", filters=only(runs), groupby=groupby)
    return wr.PanelGrid(runsets=[runset], panels=panels, hide_run_sets=True)


def _description(runs: pd.DataFrame) -> str:
    methods, tasks, models = (runs[name].nunique() for name in ("method", "task", "model"))
    count = number_of(len(runs), "finished run")
    return f"{count}; methods: {methods}, tasks: {tasks}, models: {models}. By lnbench {__version__}."
