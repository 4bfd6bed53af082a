"""Checks rows of words and tags from files and the hub, and gives them one form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lnbench.core.errors import DataError
from lnbench.tasks.parts.checks import each, replace, require, require_columns
from lnbench.tasks.parts.labels import by_number, label_name
from lnbench.tasks.tokens import iob2

if TYPE_CHECKING:
    import pandas as pd


def tagged_rows(frame: pd.DataFrame, words: str, tags: str, where: str) -> pd.DataFrame:
    """The columns `words` and `tags`, with equally long lists in each row. Rows without any word are left out.

    Raises:
        DataError: with the column and the first row that does not fit.
    """
    require_columns(frame, [words, tags], where)
    kept = frame[[words, tags]]
    kept = replace(kept, {column: kept[column].map(as_list) for column in (words, tags)})
    require(kept[words], each(kept[words], _are_words), where, "a list of words")
    require(kept[tags], each(kept[tags], _are_tags), where, "a list of tags, all names or all whole numbers")
    lengths = kept[words].map(len)
    require(kept[tags], kept[tags].map(len) == lengths, where, "as many tags as the row has words")
    if not lengths.any():
        raise DataError(f"{where}: has no words")
    return kept[lengths > 0]


def named_tags(values: pd.Series, labels: Sequence[str], where: str) -> pd.Series:
    """Tags by name, in IOB2, from names of any scheme that `iob2` reads or from places in `labels`.

    White space around a name does not count.

    Raises:
        DataError: with the first row that has another tag.
    """
    names = dict(enumerate(labels))
    named = values.map(lambda row: [names.get(tag, tag) if isinstance(tag, int) else label_name(tag) for tag in row])
    allowed = "tags in IOB2, IOB1, BILOU or BIOES (O, B-TYPE, I-TYPE, ...)"
    allowed += f", or numbers from {by_number(labels)}" if labels else ""
    require(named, each(named, _are_readable), where, allowed)
    return named.map(iob2.from_any)


def as_list(value: Any) -> Any:
    """A value, with an array of Parquet as a list."""
    return value.tolist() if isinstance(value, np.ndarray) else value


def _are_words(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(word, str) for word in value)


def _are_tags(value: Any) -> bool:
    return isinstance(value, list) and any(all(type(tag) is kind for tag in value) for kind in (str, int))


def _are_readable(row: Any) -> bool:
    return all(isinstance(tag, str) and iob2.is_tag(tag) for tag in row)
