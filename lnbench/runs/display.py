"""Shows runs to people and to programs. Text from files is never interpreted as a style or a control code."""

import json
import math
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, get_args

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lnbench.core.escape import printable
from lnbench.records.baseline import footnote, marked
from lnbench.records.files import FAILURE
from lnbench.records.listing import FoundRun, State
from lnbench.records.title import title
from lnbench.runs.row import Row, row_of
from lnbench.tasks.scores.metric import metric_of

COLUMNS = ("id", "state", "method", "task", "model", "seed", "score", "when", "seconds")
NUMBERS = ("seed", "score", "seconds")
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


def show_runs(runs: Sequence[FoundRun]) -> None:
    """Prints a table with one run a line, the reasons why some cannot be read, and the number of runs in each state."""
    console, rows = new_console(), [row_of(run) for run in runs]
    if rows:
        console.print(_table(rows))
    for row in rows:
        if row.state in UNREADABLE:
            console.print(printable(f"{row.id}  {row.message}"), soft_wrap=True)
    if poor := [row.baseline for row in rows if row.no_better and row.baseline]:
        console.print(printable(footnote(poor)), soft_wrap=True)
    console.print(totals(row.state for row in rows))


def show_failures(runs: Sequence[FoundRun]) -> None:
    """Prints the reason why each run failed or is damaged, and the place of its traceback."""
    console = new_console()
    for run in runs:
        row = row_of(run)
        console.print(Text(f"{run.id}  {printable(title_of(row))}", "bold"), soft_wrap=True)
        if failure := run.failure:
            where = f"{failure.failed_at} on {failure.host}"
            about = {"cause": f"{failure.cause}, at {where}", "message": failure.message}
            show_values(console, {**about, "traceback": run.folder / FAILURE})
        else:
            show_values(console, {"cause": run.state, "message": run.problem})
    console.print(totals(run.state for run in runs))


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
    return f"{counts.total():,} {'run' if counts.total() == 1 else 'runs'}{': ' if parts else ''}{', '.join(parts)}"


def title_of(row: Row) -> str:
    """The title of a run."""
    return title(row.method, row.task, row.model, row.seed)


def print_json(run: FoundRun, **more: Any) -> None:
    """Prints a run as one line of JSON, with null for infinite numbers and NaN."""
    print(to_json({**asdict(row_of(run)), **more}))


def to_json(value: Any) -> str:
    """JSON in one line, with null for infinite numbers and NaN."""
    return json.dumps(_finite(value))


def _table(rows: Iterable[Row]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=0)
    for column in COLUMNS:
        table.add_column(column, justify="right" if column in NUMBERS else "left", no_wrap=column in ("id", "state"))
    for row in rows:
        table.add_row(*(_cell(row, column) for column in COLUMNS))
    return table


def _cell(row: Row, column: str) -> Text:
    value = getattr(row, column)
    if value is None:
        return Text("")
    if column == "score" and row.metric:
        metric = metric_of(row.metric)
        return Text(printable(marked(f"{metric.title} {metric.written(value)}", bool(row.no_better))))
    if column == "when":
        value = value[:16].replace("T", " ")
    if isinstance(value, float):
        value = f"{value:,.0f}"
    return Text(printable(str(value)), STYLES[row.state] if column == "state" else "")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): _finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
