"""Checks of a data set's rows, whose errors name the column and the first row that cannot be used."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lnbench.core.commands import quoted
from lnbench.core.errors import DataError
from lnbench.core.schema import did_you_mean
from lnbench.tasks.data.large import converted

if TYPE_CHECKING:
    import pandas as pd

SKIP_EMPTY = "; task.skip_empty=true leaves out the rows without one"
"""Remedy for an empty text, for the message."""


def require_columns(frame: pd.DataFrame, columns: Iterable[str], where: str) -> None:
    """Refuses a frame that lacks a column.

    Raises:
        DataError: with the missing column, and the columns that exist.
    """
    there = [*map(str, frame.columns)]
    for column in columns:
        if column not in there:
            raise DataError(
                f"{where}: has no column {column!r}; {did_you_mean(column, there)}it has: {', '.join(there)}"
            )


def require(values: pd.Series, fine: Iterable[bool], where: str, allowed: str) -> None:
    """Refuses a column if one of its values is wrong.

    Args:
        values: values of the column; the index counts the data's rows from 0.
        fine: for each value, whether it is allowed.
        where: the split's name, for the message.
        allowed: what the value must be, for the message.

    Raises:
        DataError: with the first wrong value and its row, counted from 1.
    """
    for place, is_fine in enumerate(fine):
        if not is_fine:
            row, value = values.index[place] + 1, values.iloc[[place]].tolist()[0]
            raise DataError(f"{where}, row {row}: {values.name} = {value!r}; must be {allowed}")


def each(values: pd.Series, test: Callable[[Any], bool]) -> pd.Series:
    """Whether each value passes a test, as bools."""
    return converted(values, lambda part: part.map(test), np.bool_)


def is_text(value: object) -> bool:
    """Whether a value is a text that is not empty."""
    return isinstance(value, str) and bool(value.strip())


def is_empty(value: object) -> bool:
    """Whether a value is missing, or is a text of only white space."""
    if isinstance(value, str):
        return not value.strip()
    return value is None or type(value).__name__ == "NAType" or (isinstance(value, float) and math.isnan(value))


def is_filled(value: object) -> bool:
    """Whether a value is neither missing nor a text of only white space."""
    return not is_empty(value)


def require_texts(values: pd.Series, where: str, kind: str = "a text", remedy: str = "") -> None:
    """Refuses a column if one of its values is not a text, or is empty.

    Args:
        values: values of the column.
        where: the split's name, for the message.
        kind: what the values must be, for the message.
        remedy: what to do about an empty text, for the message.

    Raises:
        DataError: with the first such value and its row.
    """
    require(values, each(values, is_filled), where, f"{kind} that is not empty{remedy}")
    require(values, each(values, is_text), where, kind)


def two_texts(what: str, example: Sequence[str]) -> str:
    """Says what an input of two texts must be, and how to type one, for a message.

    Args:
        what: both texts, in words.
        example: two texts.
    """
    shell = quoted("\t".join(example))
    return f"{what}, neither of them empty, with a tab between them; in a shell type {shell}, in Python {example!r}"


def replace(frame: pd.DataFrame, columns: Mapping[str, pd.Series]) -> pd.DataFrame:
    """The frame with other values in some columns. The columns may have any names."""
    copy = frame.copy(deep=False)
    for name, values in columns.items():
        copy[name] = values
    return copy
