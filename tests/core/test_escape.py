"""Texts that try to be more than a text, in each format."""

import csv
import io

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from lnbench.core import escape
from lnbench.report.tables.formats import markdown_row, markdown_rule, to_csv, to_latex, to_markdown
from lnbench.report.tables.table import Cell, Table

READER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
HOSTILE = [
    "<img src=x onerror=alert(1)>",
    "</td><script>alert(1)</script>",
    "a|b",
    "[x](http://y)",
    "![x](http://y/z.png)",
    "<http://y>",
    "[x]: http://y",
    "`a` ``b``",
    "**a** _b_ ~~c~~",
    "&lt;b&gt; &#60;",
    "a\n\n# b\n\n- c\n---",
    "- a",
    "1. a",
    "2) a",
    "---",
    "===",
    "# a #",
    "> a",
    "\\<b\\>",
    "$x$",
    "a\u202eb",
]
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"))


def shown(markdown: str) -> tuple[set[str], str]:
    """The kinds of what a reader sees, and its text."""
    blocks = READER.parse(markdown)
    inline = [child for block in blocks for child in block.children or []]
    kinds = {block.type for block in blocks} - {"paragraph_open", "paragraph_close", "inline"}
    return kinds | {child.type for child in inline} - {"text", "text_special"}, "".join(one.content for one in inline)


@pytest.mark.parametrize("text", HOSTILE)
def test_markdown_shows_a_hostile_text(text: str) -> None:
    assert shown(escape.markdown(text)) == (set(), escape.one_line(text))


@given(TEXTS)
def test_markdown_shows_any_text(text: str) -> None:
    kinds, said = shown(f"a {escape.markdown(text)}")
    assert kinds == set()
    assert said.split() == ["a", *escape.one_line(text).split()]


@given(TEXTS)
def test_a_cell_shows_any_text(text: str) -> None:
    row = "\n".join([markdown_row(["a", "b"]), markdown_rule(2), markdown_row([text, "end"])])
    inline = [token for token in READER.parse(row) if token.type == "inline"]
    assert len(inline) == 4
    assert {child.type for child in inline[2].children or []} <= {"text", "text_special"}
    assert "".join(child.content for child in inline[2].children or []) == escape.one_line(text)


@given(TEXTS)
def test_a_code_span_shows_any_text(text: str) -> None:
    kinds, said = shown(escape.code(text))
    assert kinds == {"code_inline"}
    assert said.strip() == escape.one_line(text)


@given(TEXTS)
def test_a_code_block_shows_any_text(text: str) -> None:
    block, *rest = READER.parse(escape.fenced(f"a {text} b"))
    assert (block.type, rest) == ("fence", [])


def test_addresses_are_no_links_where_readers_make_them_of_plain_text() -> None:
    assert escape.markdown("see http://y, www.y.z and :smile: at 12:30") == (
        "see http\\://y, www\\.y.z and \\:smile: at 12:30"
    )


def test_numbers_and_signs_stay_as_they_are() -> None:
    for text in (
        "-",
        "71.00 ± 1.41 (2)",
        "-5.00 points",
        "+2.10 BLEU",
        "12:30",
        "Costs: minilm; H100",
        "1 of 2 tasks †",
    ):
        assert escape.markdown(text) == text


def test_latex_prints_every_character() -> None:
    assert escape.latex("50% of a_b & {c} ~ ^ # $ \\d") == (
        r"50\% of a\_b \& \{c\} \textasciitilde{} \textasciicircum{} \# \$ \textbackslash{}d"
    )
    assert escape.latex("<x> | † ±\n÷") == r"\textless{}x\textgreater{} \textbar{} $\dagger$ $\pm$ $\div$"


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\t=1", " =1"])
def test_no_spreadsheet_reads_a_formula(text: str) -> None:
    assert escape.csv(text) == f"'{text}"
    assert escape.csv("ln+prefix=1") == "ln+prefix=1"


@pytest.mark.parametrize("text", [*HOSTILE, "=1+1", "50% of {x}\n% \\input{y}", 'a,"b"'])
def test_a_table_shows_hostile_names_in_every_format(text: str) -> None:
    data = pd.DataFrame({"method": [text], "mean": [-0.5]})
    table = Table("x", text, ["method", text], [[Cell(text), Cell(text, 1.0, 1)]], data, [text], [f"a {text}"])
    kinds, _ = shown(to_markdown(table))
    assert not {kind for kind in kinds if "html" in kind or "link" in kind or "image" in kind or "list" in kind}
    assert to_markdown(table).count("\n## ") == 0
    (row,) = list(csv.reader(io.StringIO(to_csv(table))))[1:]
    assert row[0].removeprefix("'") == text
    assert row[1] == "-0.5"
    for line in to_latex(table).splitlines():
        assert line.startswith("%") or "\\input" not in line
        assert line.startswith("%") or not {"<", ">", "|"} & set(line)
