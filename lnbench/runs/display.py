"""Shows runs to people and to programs. Text from files is never interpreted as a style or a control code."""

import json
import math
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from textwrap import wrap
from typing import Any, get_args

from rich.cells import cell_len, chop_cells
from rich.console import Console
from rich.style import Style
from rich.text import Text

from lnbench.core.escape import printable
from lnbench.core.words import number_of
from lnbench.records.baseline import footnote, marked
from lnbench.records.files import FAILURE
from lnbench.records.identity import title
from lnbench.records.listing import State
from lnbench.runs.listed import Listed
from lnbench.runs.row import RunRow
from lnbench.tasks.scores.metric import FORGETTING, metric_of

COLUMNS = ("id", "state", "method", "task", "model", "seed", "lr", "score", "forgetting", "when", "seconds")
NUMBERS = ("seed", "score", "forgetting", "seconds")
STATE = COLUMNS.index("state")
GAP = 2
"""Spaces between columns."""
NARROW = 12
"""Width that every column may have; an id has it."""
STYLES = {
    "finished": "green",
    "failed": "red",
    "running": "cyan",
    "interrupted": "yellow",
    "newer": "blue",
    "damaged": "magenta",
}
UNREADABLE = ("newer", "damaged")
"""States that need an explanation below the table."""
WIDE = 10_000
"""Width for an output that is not a terminal, large enough that nothing is wrapped."""


def new_console() -> Console:
    """A console for standard output."""
    return Console(markup=False, highlight=False, emoji=False, width=None if sys.stdout.isatty() else WIDE)


def show_runs(runs: Sequence[Listed]) -> None:
    """Prints a table with one run a line, the reasons why some cannot be read, and the number of runs in each state."""
    console, rows = new_console(), sorted((run.row for run in runs), key=_place)
    if rows:
        _print_table(console, rows)
    for row in rows:
        if row.state in UNREADABLE:
            console.print(printable(f"{row.id}  {row.message}"), soft_wrap=True)
    if poor := [row.baseline for row in rows if row.no_better and row.baseline]:
        console.print(printable(footnote(poor)), soft_wrap=True)
    console.print(totals(row.state for row in rows))


def _place(row: RunRow) -> tuple[str, str, str, float, bool]:
    """Where a run stands in a list: beside those that differ in the seed only."""
    return row.task, row.model, row.variant or row.method, math.inf if row.seed is None else row.seed, row.trial


def show_failures(runs: Sequence[Listed]) -> None:
    """Prints the reason why each run failed or is damaged, and the place of its traceback."""
    console = new_console()
    for listed in runs:
        row, run = listed.row, listed.run
        console.print(Text(f"{row.id}  {printable(title_of(row))}", "bold"), soft_wrap=True)
        if failure := run.failure:
            where = f"{failure.failed_at} on {failure.host}"
            about = {"cause": f"{failure.cause}, at {where}", "message": failure.message}
            show_values(console, {**about, "traceback": run.folder / FAILURE})
        else:
            show_values(console, {"cause": run.state, "message": run.problem})
    console.print(totals(listed.row.state for listed in runs))


def show_values(console: Console, values: Mapping[str, Any]) -> None:
    """Prints one value a line, under its name."""
    width = max(map(len, values), default=0)
    for name, value in values.items():
        lines = printable(str(value)).splitlines() or [""]
        text = f"\n{' ' * (width + 4)}".join(lines)
        console.print(f"  {printable(name):<{width}}  {text}", soft_wrap=True)


def totals(states: Iterable[str]) -> str:
    """The number of runs in each state, as text."""
    counts = Counter(states)
    parts = [f"{counts[state]:,} {state}" for state in (*get_args(State), "never started") if counts[state]]
    return f"{number_of(counts.total(), 'run')}{': ' if parts else ''}{', '.join(parts)}"


def title_of(row: RunRow) -> str:
    """The title of a run."""
    return title(row.method, row.task, row.model, row.seed)


def print_json(row: RunRow, **more: Any) -> None:
    """Prints a run as one line of JSON, with null for infinite numbers and NaN."""
    print(to_json({**vars(row), **more}))


def to_json(value: Any) -> str:
    """JSON in one line, with null for infinite numbers and NaN."""
    return json.dumps(_finite(value))


def _print_table(console: Console, rows: Sequence[RunRow]) -> None:
    """Prints columns of equal width: forgetting if a run has it, and learning rates if runs are alike without them.

    Where the lines are too long for the terminal, long cells are folded.

    rich's own tables take a millisecond a row.
    """
    left_out = {"forgetting"} if all(row.forgetting is None for row in rows) else set()
    alike = Counter((row.variant, row.task, row.model, row.seed) for row in rows if row.variant)
    left_out |= set() if any(count > 1 for count in alike.values()) else {"lr"}
    columns = [column for column in COLUMNS if column not in left_out]
    cells = [[_cell(row, column) for column in columns] for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(columns, *cells, strict=True)]
    while sum(widths) + GAP * (len(widths) - 1) > console.width and max(widths) > NARROW:
        widths[widths.index(max(widths))] -= 1
    styles = [STYLES[row.state] if console.is_terminal else "" for row in rows]
    console.print(Text(_lines(columns, columns, widths, ""), "bold"), soft_wrap=True)
    print("".join(f"{_lines(row, columns, widths, style)}\n" for row, style in zip(cells, styles, strict=True)), end="")


def _lines(cells: Sequence[str], columns: Sequence[str], widths: Sequence[int], style: str) -> str:
    """One row as text, in several lines if a cell does not fit its column. The state has the style."""
    folded = [_folded(cell, width) for cell, width in zip(cells, widths, strict=True)]
    lines = []
    for line in zip_longest(*folded, fillvalue=""):
        padded = [
            text.rjust(width + len(text) - cell_len(text))
            if column in NUMBERS
            else text.ljust(width + len(text) - cell_len(text))
            for column, text, width in zip(columns, line, widths, strict=True)
        ]
        if style:
            padded[STATE] = Style.parse(style).render(padded[STATE])
        lines.append((" " * GAP).join(padded).rstrip())
    return "\n".join(lines)


def _folded(cell: str, width: int) -> list[str]:
    if cell_len(cell) <= width:
        return [cell]
    return wrap(cell, width) if cell.isascii() else chop_cells(cell, width)


def _cell(row: RunRow, column: str) -> str:
    value = getattr(row, column)
    if column == "method":
        return printable(row.variant or row.method)
    if column == "lr":
        return printable(f"{row.lr} (trial)" if row.trial else row.lr)
    if value is None:
        return ""
    if column == "score" and row.metric:
        metric = metric_of(row.metric)
        return printable(marked(f"{metric.title} {metric.written(value)}", bool(row.no_better)))
    if column == "forgetting":
        return FORGETTING.difference(value)
    if column == "when":
        value = value[:16].replace("T", " ")
    if isinstance(value, float):
        value = f"{value:,.0f}"
    return printable(str(value))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): _finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
