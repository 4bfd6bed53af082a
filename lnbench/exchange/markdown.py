"""Texts of any origin as Markdown that shows them and does nothing else."""

import re


def code(text: object) -> str:
    """A code span on one line, in which neither Markdown nor HTML is read."""
    line = " ".join("".join(char if char.isprintable() else " " for char in str(text)).split())
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


def _longest_run(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)
