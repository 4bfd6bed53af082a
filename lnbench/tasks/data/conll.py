"""Reads files in CoNLL's format: one word per line with its tag, and an empty line between sentences."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from lnbench.tasks.tokens import iob2

SUFFIXES = (".conll", ".iob", ".iob2", ".bio", ".txt")
DOCUMENT_START = "-DOCSTART-"
COMMENT = "#"
BESIDE = re.compile(r"\d+[-.]\d+")
"""In a file that numbers its words, the number of a contraction of several words, or of a word that is not written."""


class Line(NamedTuple):
    """The columns of one word."""

    number: int
    """Number of the line in the file, from 1."""
    fields: list[str]


def sentences_of(text: str) -> list[tuple[list[str], list[str]]]:
    """The words and the tags of each sentence: of each line the first column and the last.

    If any line has a tab, tabs separate the columns, else spaces; lines that begin with # count only if there are no
    others. Other white space, such as a no-break space, belongs to the words. A line of only white space is empty. A
    line that begins with # and does not end with a tag, or has other columns than the first word, is a comment. If the
    first column numbers the words of every sentence, as in GermEval's files, the words are the second. Numbers such as
    2-3 and 5.1, which CoNLL-U gives to what stands beside the words, are then left out with their lines.

    Raises:
        ValueError: a line has one column, more or fewer columns than others or a carriage return, or the tags are
            levels of nested entities.
    """
    sentences, separator = _split(text)
    lines = (line for sentence in sentences for line in sentence)
    shape = next((len(line.fields) for line in lines if not line.fields[0].startswith(COMMENT)), None)
    kept = [[line for line in sentence if not _is_comment(line, shape)] for sentence in sentences]
    kept = [sentence for sentence in kept if sentence]
    name = "tabs" if separator == "\t" else "spaces"
    width = len(kept[0][0].fields) if kept else 0
    for line in (line for sentence in kept for line in sentence):
        shown = f"line {line.number}: {separator.join(line.fields)!r}"
        if any("\r" in field for field in line.fields):
            raise ValueError(f"line {line.number}: has a carriage return in it; write the file with other line breaks")
        if len(line.fields) < 2:
            raise ValueError(f"{shown} has one column; there must be a word and its tag, separated by {name}")
        if len(line.fields) != width:
            raise ValueError(
                f"{shown} has {len(line.fields)} columns, separated by {name}, and the lines before it have {width}"
            )
    words = [[line for line in sentence if not BESIDE.fullmatch(line.fields[0])] for sentence in kept]
    place = int(_is_numbered(words))
    kept = words if place else kept
    _check_one_level(kept, place)
    return [([line.fields[place] for line in one], [line.fields[-1] for line in one]) for one in kept]


def _split(text: str) -> tuple[list[list[Line]], str]:
    """The lines of each sentence, and the separator of their columns."""
    lines = [line.strip(" \t\r") if line.strip() else "" for line in text.split("\n")]
    telling = [line for line in lines if line and not line.startswith(COMMENT)] or lines
    separator = "\t" if any("\t" in line for line in telling) else " "
    sentences: list[list[Line]] = [[]]
    for number, line in enumerate(lines, 1):
        if not line or line.split(" ")[0].split("\t")[0] == DOCUMENT_START:
            sentences.append([])
        elif separator == " ":
            sentences[-1].append(Line(number, [field for field in line.split(" ") if field]))
        else:
            sentences[-1].append(Line(number, [field.strip(" ") for field in line.split("\t")]))
    return sentences, separator


def _is_comment(line: Line, shape: int | None) -> bool:
    first, *others = line.fields
    if not first.startswith(COMMENT):
        return False
    return not others or not iob2.is_tag(others[-1]) or shape not in (None, len(line.fields))


def _is_numbered(sentences: Sequence[Sequence[Line]]) -> bool:
    """Whether the first column counts the words of every sentence from 1, and two more columns are left."""
    return any(len(sentence) > 1 for sentence in sentences) and all(
        len(line.fields) > 2 and line.fields[0] == str(place)
        for sentence in sentences
        for place, line in enumerate(sentence, 1)
    )


def _check_one_level(sentences: Sequence[Sequence[Line]], place: int) -> None:
    """Refuses files whose last two columns are tags of the same types, such as outer and inner entities."""
    lines = [line.fields for sentence in sentences for line in sentence]
    if any(len(fields) < place + 3 or not all(map(iob2.is_tag, fields[-2:])) for fields in lines):
        return
    outer, inner = ({fields[column][2:] for fields in lines} - {""} for column in (-2, -1))
    if both := sorted(outer & inner):
        raise ValueError(
            f"its last two columns are both tags, of {', '.join(both)}: outer and inner entities, of which one column "
            f"can be learned; leave the other out, such as by cut -f1-{len(lines[0]) - 1}"
        )
