"""`python -m lnbench.params model=... method=...` counts the parameters that a method trains in a model.

It builds models without weights, and the usual models without a download. It accepts everything that
`python -m lnbench` accepts, `-m` too.
"""

import sys
from itertools import groupby
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table

from lnbench.cli import IN_THIS_PROCESS, command_line
from lnbench.config.run import RunConfig
from lnbench.core.atomic_files import write_atomically
from lnbench.core.errors import plainly
from lnbench.report.tables.paper import Figures

Row = dict[str, str | int | float]
FILE = "parameters.csv"
COLUMNS = ("trained", "%", "paper %", "added", "head")
"""Columns shown for each method. `added` counts the parameters that inference computes with besides the backbone, after
everything that can be folded has been folded into the backbone's weights. `trained` does not include `head`."""


class ParameterTable:
    """Collects one row for each configuration."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.figures = Figures()
        self.folder = Path()

    def add(self, config: RunConfig) -> float:
        """Builds the model of a configuration without weights, and counts its parameters.

        Returns:
            The trained percentage of the backbone.

        Raises:
            ConfigError: a run with this configuration is refused, because the model does not suit its method or task.
        """
        from lnbench.backbone.loading import stated_config
        from lnbench.backbone.tuned_model import count_parameters
        from lnbench.methods.parts.linear_change import Change
        from lnbench.training.assemble import build_skeleton, check_model

        check_model(config, stated_config(config.model))
        model = build_skeleton(config)
        count = count_parameters(model)
        changes = [one for one in model.modules() if isinstance(one, Change) and one.foldable]
        folded = {id(one): one.numel() for change in changes for one in change.parameters()}
        self.folder = config.runs_dir
        row: Row = {
            "model": config.model.name,
            "method": config.method_name,
            "trained": count.trained,
            "%": 100 * count.trained_fraction,
            "paper %": self.figures.find(config.model.name, config.method_name, "trained_percent"),
            "added": count.inserted - sum(folded.values()),
            "head": count.head,
            "backbone": count.backbone,
        }
        self.rows.append(row)
        return 100 * count.trained_fraction

    def show_and_save(self) -> None:
        """Prints the table and writes it as CSV below the folder of runs."""
        console, path = Console(), self.folder / FILE
        for model, rows in groupby(self.rows, key=lambda row: row["model"]):
            console.print(_table(str(model), list(rows)))
        try:
            write_atomically(path, pd.DataFrame(self.rows).to_csv(index=False))
        except OSError as error:
            sys.exit(plainly(error))
        console.print(f"saved in {path}")


def _table(model: str, rows: list[Row]) -> Table:
    table = Table("method", title=f"{model}: {rows[0]['backbone']:,} parameters", title_justify="left")
    for heading in COLUMNS:
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(*(_cell(row[column]) for column in ("method", *COLUMNS)))
    return table


def _cell(value: str | int | float) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    return f"{value:,}" if isinstance(value, int) else value


def main() -> None:
    """Entry point of `python -m lnbench.params`."""
    table = ParameterTable()
    try:
        command_line(table.add, IN_THIS_PROCESS, about=__doc__)
    finally:
        if table.rows:
            table.show_and_save()


if __name__ == "__main__":
    main()
