"""Sources as texts, and targets as lists of references."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lnbench.tasks.parts.checks import is_empty

if TYPE_CHECKING:
    import pandas as pd


def linear(source: Any) -> Any:
    """A source as one text: a text as it is, facts with semicolons between them, a fact's parts with bars."""
    if isinstance(source, str) or not hasattr(source, "__iter__"):
        return source
    facts = [fact if isinstance(fact, str) else " | ".join(map(str, fact)) for fact in source]
    return " ; ".join(facts)


def reference_lists(frame: pd.DataFrame, target: str, references: str | None, columns: Sequence[str]) -> pd.Series:
    """For each row its references, each of them once.

    Args:
        frame: the rows.
        target: column of a text or of a list of texts, which may be missing where `columns` are there.
        references: column of a list of texts that stands for the target where it is not empty.
        columns: of further references, a text each, which may be empty.

    Returns:
        A list a row, named after the target.
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
