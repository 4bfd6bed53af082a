"""Escapes texts of any origin for Markdown, LaTeX, CSV and terminals, so that they are shown as they are."""

import re
from collections.abc import Iterable

MARKDOWN = re.compile(r"([\\`*_\[\]<>&|~$#]|:(?=[^\s\d])|(?<=\bwww)\.)", re.IGNORECASE)
"""Characters that make emphasis, code, links, HTML, cells, formulas or symbols anywhere in a line."""
BLOCK = re.compile(r"^(\d*)(?=[-+=][-+=\s]|(?<=\d)[.)](?:\s|$))")
"""Characters that start a list or an underline at the beginning of a line."""
LATEX: dict[str, str | int | None] = {
    **{char: f"\\{char}" for char in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "÷": r"$\div$",
    "†": r"$\dagger$",
}
FORMULA = ("=", "+", "-", "@")
"""Characters that start a formula in a spreadsheet."""


def one_line(text: object) -> str:
    """A text on one line. Each run of spaces and unprintable characters becomes one space."""
    return " ".join("".join(char if char.isprintable() else " " for char in str(text)).split())


def markdown(text: object) -> str:
    """A text for one line of Markdown, outside of code. Addresses in it do not become links."""
    return BLOCK.sub(r"\1\\", MARKDOWN.sub(r"\\\1", one_line(text)))


def code(text: object) -> str:
    """A code span on one line, in which neither Markdown nor HTML is read."""
    line = one_line(text)
    ticks = "`" * (_longest_run(line) + 1)
    pad = " " if not line or "`" in (line[0], line[-1]) else ""
    return f"{ticks}{pad}{line}{pad}{ticks}"


def cell(text: object) -> str:
    """A code span for a table cell, where a bare `|` would end the cell."""
    return code(text).replace("|", "\\|")


def fenced(text: str, language: str = "") -> str:
    """A code block."""
    ticks = "`" * max(3, _longest_run(text) + 1)
    return f"{ticks}{language}\n{text}\n{ticks}"


def markdown_row(cells: Iterable[str]) -> str:
    """A row of a Markdown table, from cells that are escaped already."""
    return f"| {' | '.join(cells)} |"


def latex(text: object) -> str:
    """A text on one line, escaped for LaTeX."""
    return one_line(text).translate(str.maketrans(LATEX))


def csv(text: str) -> str:
    """A text that spreadsheets do not read as a formula. Texts that look like one get a `'` in front."""
    return f"'{text}" if text.lstrip().startswith(FORMULA) else text


def printable(text: str) -> str:
    """The text with unprintable characters as visible escape sequences. Line ends stay."""
    return "".join(
        char if char.isprintable() or char == "\n" else char.encode("unicode_escape").decode() for char in text
    )


def _longest_run(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)
