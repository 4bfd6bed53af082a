"""Builds views of the project's workspace, which are sent later."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

import wandb_workspaces.workspaces as ws

from lnbench.report.claims.pairs import at_best_rate
from lnbench.report.dashboard.panels import (
    COLUMNS,
    MOST_SHOWN,
    changed_settings,
    cost_panels,
    curve_panels,
    metrics_in,
    only,
    score_panels,
)
from lnbench.report.load import Loaded
from lnbench.report.tables.tables import places

if TYPE_CHECKING:
    import pandas as pd


def new_views(entity: str, project: str, loaded: Loaded, runs: pd.DataFrame) -> list[ws.Workspace]:
    """Builds a view for each model and setting, with the report's plots, by task, method and the method's settings.

    Args:
        entity: owner of the project.
        project: project of the runs.
        loaded: records.
        runs: table from `lnbench.report.load.frame`.
    """
    return [
        ws.Workspace(
            entity=entity,
            project=project,
            name=_allowed(f"lnbench {name}"),
            sections=_sections(found),
            settings=ws.WorkspaceSettings(max_runs=MOST_SHOWN),
            runset_settings=_runset(found, loaded),
        )
        for name, _, found in places(at_best_rate(runs))
    ]


def _sections(runs: pd.DataFrame) -> list[ws.Section]:
    """Sections of plots. Costs are left out if the runs used several kinds of hardware, which a view would mix."""
    metrics = metrics_in(runs)
    panels = {"Scores": score_panels(metrics), "Curves": curve_panels(metrics)}
    if runs["hardware"].nunique() == 1:
        panels["Costs"] = cost_panels(metrics)
    return [ws.Section(name=name, panels=own, is_open=True) for name, own in panels.items()]


def _runset(runs: pd.DataFrame, loaded: Loaded) -> ws.RunsetSettings:
    settings = map(ws.Config, changed_settings(runs, loaded))
    return ws.RunsetSettings(
        filters=only(runs),
        groupby=[ws.Config("task.name"), ws.Metric("Group"), *settings],
        pinned_columns=list(COLUMNS),
    )


def _allowed(name: str) -> str:
    """A name without characters such as `+` and `=`, which wandb-workspaces takes for emojis and refuses."""
    return "".join("_" if unicodedata.category(char).startswith(("C", "S")) else char for char in name)
