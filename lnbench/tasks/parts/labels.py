"""The normal form of labels, the same in every type of file, and notes on labels that look wrong."""

from __future__ import annotations

import re
import sys
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from numbers import Number
from typing import TYPE_CHECKING, Any

import numpy as np

from lnbench.core.words import number_of
from lnbench.tasks.parts.checks import is_filled

if TYPE_CHECKING:
    import pandas as pd

_NUMBER = re.compile(r"[+-]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
"""A label that is a number. Zeros in front, as in 007, or an exponent of more than three digits make it a name."""
_TRUTH = {"true": "True", "false": "False"}


def label_name(value: Any) -> str:
    """The normal form of a label.

    White space around it is cut off. A number is written without an exponent and as short as possible: 1, 1.0, "1",
    "1.0" and "1e0" are the label 1. True, "true" and "TRUE" are the label True.
    """
    if isinstance(value, float | np.floating) and np.isfinite(value):
        return _shortest(np.format_float_positional(value, trim="-"))
    text = str(value).strip()
    return _shortest(f"{Decimal(text):f}") if is_number(text) else _TRUTH.get(text.lower(), text)


def is_label(value: Any) -> bool:
    """Whether a value can be a label. That is a text, a number or a truth value, neither empty nor missing."""
    return isinstance(value, str | Number | np.bool_) and is_filled(value)


def is_number(name: str) -> bool:
    """Whether a label is a number."""
    return _NUMBER.fullmatch(name) is not None


def _shortest(number: str) -> str:
    whole, _, fraction = number.lstrip("+-").partition(".")
    fraction = fraction.rstrip("0")
    digits = f"{whole or '0'}.{fraction}" if fraction else whole or "0"
    return f"-{digits}" if number.startswith("-") and digits != "0" else digits


def by_number(labels: Sequence[str]) -> str:
    """The first and the last number that stand for labels (their places in the list), for a message."""
    return f"0 ({labels[0]}) to {len(labels) - 1} ({labels[-1]})"


def label_names(values: pd.Series) -> pd.Series:
    """`label_name` of each value. Equal names are one object."""
    import pandas as pd

    names = [sys.intern(label_name(value)) for value in values.array]
    return pd.Series(names, index=values.index, dtype=object)


def rewritten(values: Iterable[Any], column: str) -> list[str]:
    """A note on how many labels are not in their normal form. Empty if all are."""
    changed = (value for value in values if isinstance(value, str) and value != label_name(value))
    if (first := next(changed, None)) is None:
        return []
    count = 1 + sum(1 for _ in changed)
    example = f"such as {first!r} for {label_name(first)!r}"
    return [f"column {column!r} writes {number_of(count, 'label')} in another form, {example}"]


def look_alikes(names: Iterable[str]) -> list[str]:
    """A note on each group of labels that differ only in case, white space, invisible characters or leading zeros."""
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for name in names:
        groups[_skeleton(name)].append(name)
    return [
        f"the labels {', '.join(map(repr, group))} look alike and are different classes; if they are the same, write "
        f"them alike in the data"
        for group in groups.values()
        if len(group) > 1
    ]


def _skeleton(name: str) -> str:
    visible = [c for c in unicodedata.normalize("NFKC", name) if unicodedata.category(c) != "Cf" and not c.isspace()]
    return re.sub(r"^0+(?=[0-9])", "", "".join(visible).casefold())


def unlearned(counts: Mapping[str, Mapping[str, int]]) -> list[str]:
    """A note on the classes that no training row has.

    Args:
        counts: for each role, how often each class occurs.
    """
    names = [name for name, count in counts["train"].items() if not count]
    if not names:
        return []
    elsewhere = {role: sum(kinds.get(name, 0) for name in names) for role, kinds in counts.items() if role != "train"}
    shares = ", ".join(f"{count:,} in {role}" for role, count in elsewhere.items())
    return [f"nothing is labelled {', '.join(map(repr, names))} here ({shares}), so that cannot be learned"]
