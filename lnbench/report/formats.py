"""A table as Markdown, LaTeX, CSV, and in a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from lnbench.report.table import Cell, Table

NARROW = 6
"""The most columns of a LaTeX table that fits one column of a page."""
STYLES = ("", "bold green", "underline")
"""Of a cell in a terminal, by its rank."""
Writer = Callable[[Table], str]
LATEX: dict[str, str | int | None] = {
    **{char: f"\\{char}" for char in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "÷": r"$\div$",
}


def to_markdown(table: Table) -> str:
    """A heading, the table, its notes, and the commands that fill it."""
    head = [f"## {table.title}", "", markdown_row(table.columns), markdown_rule(len(table.columns))]
    rows = [markdown_row(map(_markdown_cell, row)) for row in table.rows]
    notes = [line for note in table.notes for line in ("", note)]
    return "\n".join([*head, *rows, *notes, *markdown_commands(table.commands)]) + "\n"


def to_latex(table: Table) -> str:
    """A `table` environment with the rules of booktabs."""
    import pandas as pd

    headings = [escape_latex(heading) for heading in table.columns]
    texts = [[escape_latex(cell.text) for cell in row] for row in table.rows]
    marks = [[("", "textbf:--rwrap;", "underline:--rwrap;")[cell.rank] for cell in row] for row in table.rows]
    styles = pd.DataFrame(marks, columns=headings)
    styler = pd.DataFrame(texts, columns=headings).style.hide(axis="index").apply(lambda _: styles, axis=None)
    text = styler.to_latex(
        hrules=True,
        column_format="l" + "r" * (len(headings) - 1),
        environment="table*" if len(headings) > NARROW else None,
        position="t",
        position_float="centering",
        caption=escape_latex(table.title),
        label=f"tab:{table.name}",
    )
    return "".join(f"% {line}\n" for line in ["needs \\usepackage{booktabs}", *table.notes]) + text


def escape_latex(text: str) -> str:
    """A text whose characters LaTeX prints as they are."""
    return text.translate(str.maketrans(LATEX))


def to_csv(table: Table) -> str:
    """The numbers behind the table, in full precision, one a row."""
    return table.data.to_csv(index=False, lineterminator="\n")


def show(console: Console, table: Table) -> None:
    """Prints the table, below itself where it is too wide, its notes dim, and the commands in one line each."""
    texts = [[Text(cell.text.replace(" ± ", "\n± "), STYLES[cell.rank]) for cell in row] for row in table.rows]
    console.print(Text(f"\n{table.title}", "bold"))
    for places in _parts(table, texts, console.width):
        shown = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
        for place in places:
            shown.add_column(table.columns[place], justify="right" if place else "left", no_wrap=not place)
        for row in texts:
            shown.add_row(*(row[place] for place in places))
        console.print(shown, "")
    console.print(Text("\n".join(table.notes), "dim"))
    show_commands(console, table.commands)


def _parts(table: Table, texts: Sequence[Sequence[Text]], width: int) -> Iterator[list[int]]:
    """Indices of the columns that fit beside the first one."""
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
    """Prints lines to be copied, under a heading."""
    if commands:
        console.print(Text(f"{indent}Missing runs:", "yellow"))
    for command in commands:
        console.print(Text(f"{indent}  {command}", "cyan"), soft_wrap=True)


def markdown_commands(commands: Iterable[str]) -> list[str]:
    """Lines to be copied, under a heading."""
    lines = list(commands)
    return ["", "Missing runs:", "", "```", *lines, "```"] if lines else []


def markdown_row(cells: Iterable[str]) -> str:
    """One row; what would end a cell is escaped."""
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def markdown_rule(columns: int, left: int = 1) -> str:
    """The line under the headings; `left` columns go to the left, all others to the right."""
    return "|" + "|".join([*[":--"] * left, *["--:"] * (columns - left)]) + "|"


def _markdown_cell(cell: Cell) -> str:
    return {1: f"**{cell.text}**", 2: f"*{cell.text}*"}.get(cell.rank, cell.text)


FILES: dict[str, Writer] = {"md": to_markdown, "tex": to_latex, "csv": to_csv}
"""By the ending of the file."""
