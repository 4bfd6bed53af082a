"""Writes a report, and prints its most important results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from lnbench.core.atomic_files import write_atomically
from lnbench.records.commands import deciding
from lnbench.records.listing import FoundRun
from lnbench.records.variant import all_changes
from lnbench.report.claims import judgement, paths
from lnbench.report.claims.claims import Claim
from lnbench.report.claims.verdicts import judge
from lnbench.report.load import Loaded, frame, told
from lnbench.report.tables import formats
from lnbench.report.tables.tables import tables

if TYPE_CHECKING:
    import pandas as pd

SHOWN = ("scores-", "interquartile-")
"""Prefixes of the names of tables that are printed."""


def write_report(loaded: Loaded, claims: Sequence[Claim], folder: Path, console: Console, images: bool = True) -> None:
    """Writes the tables, claims, the page and images, and prints the scores, the verdicts and the problems.

    Args:
        loaded: at least one finished run.
        claims: claims to judge.
        folder: folder to write to.
        console: console to print to.
        images: whether to write the plots as image files, too, which takes longer than everything else.

    Raises:
        ConfigError: a file with a paper's figures is wrong.
        OSError: the folder cannot be written.
    """
    from lnbench.report.page import write_page
    from lnbench.report.plots import make_plots, write_plots

    runs = frame(loaded.records)
    made, verdicts = tables(loaded, runs), judge(claims, loaded, runs)
    for table in made:
        if table.name.startswith(SHOWN):
            formats.show(console, table)
        for ending, text in formats.FILES.items():
            write_atomically(folder / "tables" / f"{table.name}.{ending}", text(table))
    of_paths = paths.to_markdown(paths.read_paths(loaded.runs_dir))
    write_atomically(folder / "claims.md", judgement.to_markdown(verdicts) + of_paths)
    plots = make_plots(loaded, runs)
    write_page(loaded, runs, made, verdicts, plots, folder / "index.html")
    judgement.show(console, verdicts)
    _show_questions(console, claims, loaded, runs)
    _show_problems(console, loaded.problems)
    if images and (note := write_plots(plots, folder / "plots")):
        console.print(Text(note, "yellow"))
    console.print(f"written to {folder}", soft_wrap=True, markup=False)


def _show_questions(console: Console, claims: Sequence[Claim], loaded: Loaded, runs: pd.DataFrame) -> None:
    """Prints what decides about methods of the user's own that no claim names, if they were run as they usually are."""
    named = {side.method for claim in claims for one in claim.comparisons for side in (one.left, *one.right)}
    by_id = {record.id: record for record in loaded.records}
    for (model, method), found in runs[~runs["method"].isin(named)].groupby(["model", "method"]):
        usual = [by_id[one] for one in found["id"] if not all_changes(by_id[one].config.get("method") or {})]
        tasks = {record.task: record for record in usual}
        if tasks and (question := deciding(str(method), tasks, loaded.runs_dir)):
            other, command = question
            told = f"Is {method} better than {other} with {model}? No claim is about it. This command decides:"
            console.print(Text(told, "bold"), soft_wrap=True)
            console.print(Text(f"  {command}"), soft_wrap=True)


def _show_problems(console: Console, problems: Sequence[FoundRun]) -> None:
    if problems:
        console.print(Text(f"Not in this report ({len(problems)}):", "bold yellow"))
    for found in problems:
        console.print(Text(f"  {told(found)}"), soft_wrap=True)
