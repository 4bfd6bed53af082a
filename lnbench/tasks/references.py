"""Sources as texts, and targets as lists of references."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lnbench.tasks.checks import each

if TYPE_CHECKING:
    import pandas as pd


def linear(source: Any) -> Any:
    """A source as one text: a text as it is, facts with semicolons between them, a fact's parts with bars."""
    if isinstance(source, str) or not hasattr(source, "__iter__"):
        return source
    facts = [fact if isinstance(fact, str) else " | ".join(map(str, fact)) for fact in source]
    return " ; ".join(facts)


def reference_lists(targets: pd.Series, references: pd.Series | None) -> pd.Series:
    """For each row a list: its references, or where there are none, its target alone."""
    lists = targets.map(lambda target: [target])
    if references is None:
        return lists
    filled = each(references, _is_filled)
    lists[filled] = references[filled].map(list)
    return lists


def _is_filled(value: Any) -> bool:
    return not isinstance(value, str) and hasattr(value, "__len__") and len(value) > 0
