"""Texts of any origin in each format, so that they are shown and do nothing else."""

import re
from collections.abc import Iterable

MARKDOWN = re.compile(r"([\\`*_\[\]<>&|~$#]|:(?=[^\s\d])|(?<=\bwww)\.)", re.IGNORECASE)
"""What makes emphasis, code, links, HTML, cells, formulas or symbols anywhere in a line."""
BLOCK = re.compile(r"^(\d*)(?=[-+=][-+=\s]|(?<=\d)[.)](?:\s|$))")
"""What starts a list or an underline at the beginning of a line."""
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
"""What starts a formula in a spreadsheet."""


def one_line(text: object) -> str:
    """A text with all that is no sign, and every run of spaces, as one space."""
    return " ".join("".join(char if char.isprintable() else " " for char in str(text)).split())


def markdown(text: object) -> str:
    """A text on one line, anywhere outside of code; addresses in it are no links."""
    return BLOCK.sub(r"\1\\", MARKDOWN.sub(r"\\\1", one_line(text)))


def code(text: object) -> str:
    """A code span on one line, in which neither Markdown nor HTML is read."""
    line = one_line(text)
    ticks = "`" * (_longest_run(line) + 1)
    pad = " " if not line or "`" in (line[0], line[-1]) else ""
    return f"{ticks}{pad}{line}{pad}{ticks}"


def cell(text: object) -> str:
    """`code` in a table, whose columns a `|` would divide."""
    return code(text).replace("|", "\\|")


def fenced(text: str, language: str = "") -> str:
    """A code block."""
    ticks = "`" * max(3, _longest_run(text) + 1)
    return f"{ticks}{language}\n{text}\n{ticks}"


def row(cells: Iterable[str]) -> str:
    """A row of a Markdown table, from cells that are escaped already."""
    return f"| {' | '.join(cells)} |"


def latex(text: object) -> str:
    """A text on one line whose characters LaTeX prints as they are."""
    return one_line(text).translate(str.maketrans(LATEX))


def csv(text: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.lstrip().startswith(FORMULA) else text


def printable(text: str) -> str:
    """The text with everything but line ends that a terminal would act on, or cannot show, as an escape sequence."""
    return "".join(
        char if char.isprintable() or char == "\n" else char.encode("unicode_escape").decode() for char in text
    )


def _longest_run(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)
