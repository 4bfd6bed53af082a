"""Turns sources into texts, and targets into lists of references."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lnbench.tasks.parts.checks import is_empty

if TYPE_CHECKING:
    import pandas as pd


def linear(source: Any) -> Any:
    """A source as one text. Facts are joined by semicolons, and the parts of a fact by bars."""
    if isinstance(source, str) or not hasattr(source, "__iter__"):
        return source
    facts = [fact if isinstance(fact, str) else " | ".join(map(str, fact)) for fact in source]
    return " ; ".join(facts)


def reference_lists(frame: pd.DataFrame, target: str, references: str | None, columns: Sequence[str]) -> pd.Series:
    """The references of each row, without further ones that repeat another.

    Args:
        frame: the rows.
        target: column of a text or of a list of texts, which may be missing if `columns` are there.
        references: column of a list of texts, which replaces the target if it is not empty.
        columns: columns of further references, with one text each, which may be empty.

    Returns:
        One list per row. The series has the name of the target.
    """
    import pandas as pd

    lists = [_references(row, target, references, columns) for row in frame.to_dict("records")]
    return pd.Series(lists, index=frame.index, name=target, dtype=object)


def _references(row: Mapping[Any, Any], target: str, references: str | None, columns: Sequence[str]) -> list[Any]:
    texts = []
    if target in row:
        texts = list(row[target]) if _is_filled(row[target]) else [row[target]]
    if references is not None and _is_filled(row[references]):
        texts = list(row[references])
    more = [row[column] for column in columns if not is_empty(row[column])]
    return [*texts, *(text for place, text in enumerate(more) if text not in [*texts, *more[:place]])]


def _is_filled(value: Any) -> bool:
    return not isinstance(value, str) and hasattr(value, "__len__") and len(value) > 0
