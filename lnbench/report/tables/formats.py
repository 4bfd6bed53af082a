"""Formats a table as Markdown, LaTeX and CSV, and prints it on a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from lnbench.core import escape
from lnbench.report.tables.table import Cell, Table

NARROW = 6
"""Largest number of columns of a LaTeX table that fits one column of a page."""
STYLES = ("", "bold green", "underline")
"""Styles of cells on a terminal, by their rank."""
Writer = Callable[[Table], str]


def to_markdown(table: Table) -> str:
    """A heading, the table, its notes, and the commands that do its missing runs."""
    head = [f"## {escape.markdown(table.title)}", "", markdown_row(table.columns), markdown_rule(len(table.columns))]
    rows = [escape.markdown_row(map(_markdown_cell, row)) for row in table.rows]
    notes = [line for note in table.notes for line in ("", escape.markdown(note))]
    return "\n".join([*head, *rows, *notes, *markdown_commands(table.commands)]) + "\n"


def to_latex(table: Table) -> str:
    """A `table` environment with the rules of booktabs."""
    import pandas as pd

    headings = [escape.latex(heading) for heading in table.columns]
    texts = [[escape.latex(cell.text) for cell in row] for row in table.rows]
    marks = [[("", "textbf:--rwrap;", "underline:--rwrap;")[cell.rank] for cell in row] for row in table.rows]
    styles = pd.DataFrame(marks, columns=headings)
    styler = pd.DataFrame(texts, columns=headings).style.hide(axis="index").apply(lambda _: styles, axis=None)
    text = styler.to_latex(
        hrules=True,
        column_format="l" + "r" * (len(headings) - 1),
        environment="table*" if len(headings) > NARROW else None,
        position="t",
        position_float="centering",
        caption=escape.latex(table.title),
        label=f"tab:{table.name}",
    )
    return (
        "".join(f"% {line}\n" for line in ["needs \\usepackage{booktabs}", *map(escape.one_line, table.notes)]) + text
    )


def to_csv(table: Table) -> str:
    """The numbers of the table in full precision, one a row."""
    texts = table.data.select_dtypes(exclude="number").columns
    harmless = table.data.assign(**{name: table.data[name].map(escape.csv) for name in texts})
    return harmless.to_csv(index=False, lineterminator="\n")


def show(console: Console, table: Table) -> None:
    """Prints the table, its notes and one line for each command. A table that is too wide is split into parts."""
    texts = [
        [Text(escape.printable(cell.text.replace(" ± ", "\n± ")), STYLES[cell.rank]) for cell in row]
        for row in table.rows
    ]
    console.print(Text(f"\n{escape.printable(table.title)}", "bold"))
    for places in _parts(table, texts, console.width):
        shown = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
        for place in places:
            shown.add_column(
                Text(escape.printable(table.columns[place])), justify="right" if place else "left", no_wrap=not place
            )
        for row in texts:
            shown.add_row(*(row[place] for place in places))
        console.print(shown, "")
    console.print(Text(escape.printable("\n".join(table.notes)), "dim"))
    show_commands(console, table.commands)


def _parts(table: Table, texts: Sequence[Sequence[Text]], width: int) -> Iterator[list[int]]:
    """Indices of the columns of each part, which fit beside the first column."""
    widths = [
        max(*map(len, heading.split()), *(cell_len(line) for row in texts for line in row[place].plain.split("\n"))) + 3
        for place, heading in enumerate(table.columns)
    ]
    places = [0]
    for place in range(1, len(widths)):
        if len(places) > 1 and sum(widths[shown] for shown in places) + widths[place] > width:
            yield places
            places = [0]
        places.append(place)
    yield places


def show_commands(console: Console, commands: Sequence[str], indent: str = "") -> None:
    """Prints commands to be copied, under a heading."""
    if commands:
        console.print(Text(f"{indent}Missing runs:", "yellow"))
    for command in commands:
        console.print(Text(f"{indent}  {command}", "cyan"), soft_wrap=True)


def markdown_commands(commands: Sequence[str]) -> list[str]:
    """Commands to be copied, under a heading."""
    return ["", "Missing runs:", "", escape.fenced("\n".join(commands))] if commands else []


def markdown_row(cells: Iterable[str]) -> str:
    """One row with texts of any origin."""
    return escape.markdown_row(map(escape.markdown, cells))


def markdown_rule(columns: int, left: int = 1) -> str:
    """The line under the headings. The first `left` columns are left-aligned, all others right-aligned."""
    return "|" + "|".join([*[":--"] * left, *["--:"] * (columns - left)]) + "|"


def _markdown_cell(cell: Cell) -> str:
    text = escape.markdown(cell.text)
    return {1: f"**{text}**", 2: f"*{text}*"}.get(cell.rank, text)


FILES: dict[str, Writer] = {"md": to_markdown, "tex": to_latex, "csv": to_csv}
"""Functions that format a table, by the ending of the file."""
