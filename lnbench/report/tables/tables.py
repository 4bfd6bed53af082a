"""All tables of a report."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from lnbench.core.names import plain_name
from lnbench.report.tables.efficiency import efficiency_table
from lnbench.report.tables.interquartile import interquartile_table
from lnbench.report.tables.paper import Figures
from lnbench.report.tables.parameters import parameter_table
from lnbench.report.tables.scores import ablation_table, is_ablated, main_table
from lnbench.report.tables.table import Table

if TYPE_CHECKING:
    import pandas as pd

    from lnbench.report.load import Loaded


def tables(loaded: Loaded, runs: pd.DataFrame) -> list[Table]:
    """The tables of scores, ablations, costs and parameters. Runs with different other settings have separate tables.

    Args:
        loaded: records.
        runs: table from `lnbench.report.load.frame`, with at least one run.

    Raises:
        ConfigError: a file with a paper's figures is wrong.
    """
    figures = Figures()
    found = list(places(runs))
    scores = [main_table(group, f"scores-{name}", title, loaded, figures) for name, title, group in found]
    middles = [interquartile_table(own[~is_ablated(own)], f"interquartile-{name}", title) for name, title, own in found]
    ablations = [ablation_table(group, f"ablations-{name}", title, loaded, figures) for name, title, group in found]
    costs = [table for name, title, group in found for table in _costs(group, name, title, loaded)]
    sizes = [
        parameter_table(group, f"parameters-{plain_name(str(model))}", str(model), figures)
        for model, group in runs.groupby("model")
    ]
    return [*(table for table in scores if table.rows), *filter(None, [*middles, *ablations]), *costs, *sizes]


def places(runs: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """A name, a title and the runs for each model and setting."""
    for model, of_model in runs.groupby("model"):
        groups = list(of_model.groupby("setting"))
        for number, (setting, group) in enumerate(groups, start=1):
            suffix = f"-{number}" if len(groups) > 1 else ""
            yield f"{plain_name(str(model))}{suffix}", ", ".join(filter(None, [str(model), str(setting)])), group


def _costs(runs: pd.DataFrame, name: str, title: str, loaded: Loaded) -> Iterator[Table]:
    groups = list(runs.groupby("hardware"))
    for number, (hardware, group) in enumerate(groups, start=1):
        suffix = f"-{number}" if len(groups) > 1 else ""
        yield efficiency_table(group, f"efficiency-{name}{suffix}", f"{title}; {hardware}", loaded)
