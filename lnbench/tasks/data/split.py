"""Cuts and samples splits by the text of their rows, and counts texts that occur in two splits."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


SWAPPED = ":swapped"
"""Suffix in the name of an overlap, after two roles, for pairs with their texts swapped."""


def normalise(text: str) -> str:
    """A text with case folded and white space collapsed. Two texts with the same normalised form count as the same."""
    return " ".join(text.split()).casefold()


def assign(keys: Sequence[str], shares: Mapping[str, float], seed: int) -> list[str]:
    """Draws a role for each row from the hash of its key. Each role gets its share of the keys, and train the rest.

    The role of a row depends only on its key, the seed and the shares. So rows with equal keys get the same role,
    whatever their order.

    Args:
        keys: one key per row.
        shares: role to the expected share of the distinct keys; their sum is below 1.
        seed: another seed draws other roles.
    """
    return [_draw(key, shares, seed) for key in keys]


def together(columns: Sequence[Sequence[str]]) -> list[str]:
    """For each row, the key of its group. Rows that share a value in any column, also through other rows, are a group.

    Args:
        columns: columns with one value per row. The key of a group is its least value in the first column.

    Returns:
        One key per row, which does not depend on the order of the rows. With one column, the keys are its values.
    """
    first, *others = columns
    if not others:
        return list(first)
    leader = {key: key for key in first}

    def find(key: str) -> str:
        while leader[key] != key:
            leader[key] = key = leader[leader[key]]
        return key

    for values in others:
        seen: dict[str, str] = {}
        for key, value in zip(first, values, strict=True):
            low, high = sorted((find(key), find(seen.setdefault(value, key))))
            leader[high] = low
    return [find(key) for key in first]


def sample(keys: Sequence[str], size: int, seed: int | str) -> list[int]:
    """Draws rows by the hashes of their keys.

    Whether a row is drawn depends on its key, the seed, and how many rows before it have the same key. So samples do
    not depend on the order of rows with different keys, and a smaller sample is part of a larger one.

    Args:
        keys: one key per row.
        size: number of rows to draw; all if there are fewer.
        seed: another seed draws other rows.

    Returns:
        The places of the drawn rows, in ascending order.
    """
    seen: Counter[str] = Counter()
    points: list[float] = []
    for key in keys:
        points.append(_point(f"sample {seed}\n{seen[key]}\n{key}"))
        seen[key] += 1
    return sorted(sorted(range(len(keys)), key=points.__getitem__)[:size])


def _point(text: str) -> float:
    """A number in [0, 1), drawn from the text's hash."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big") / 2**48


def _draw(key: str, shares: Mapping[str, float], seed: int) -> str:
    point = _point(f"{seed}\n{key}")
    for role, share in shares.items():
        if point < share:
            return role
        point -= share
    return "train"


def cut(frame: pd.DataFrame, roles: Sequence[str]) -> dict[str, pd.DataFrame]:
    """The rows of each role, in their order in `frame`."""
    return {role: frame[[drawn == role for drawn in roles]] for role in sorted(set(roles))}


def overlap(keys: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """For each two roles, the number of rows of the later one with a key that the earlier one has too.

    Returns:
        Numbers of rows by names such as `"train/test"`.
    """
    return {f"{first}/{second}": _shared(keys[first], keys[second]) for first, second in combinations(keys, 2)}


def _shared(first: Iterable[Hashable], second: Sequence[Hashable]) -> int:
    """The number of entries of `second` that are in `first` too. Only a set of `second`, the smaller one, is made."""
    wanted = set(second)
    shared = {key for key in first if key in wanted}
    return sum(key in shared for key in second)


def swapped(pairs: Mapping[str, Sequence[tuple[str, str]]]) -> dict[str, int]:
    """For each two roles, the number of pairs of the later one that the earlier one has with their texts swapped.

    Pairs of equal texts are not counted.

    Returns:
        Numbers of rows by names such as `"train/test"`.
    """
    different = {role: [pair for pair in values if pair[0] != pair[1]] for role, values in pairs.items()}
    return {
        f"{first}/{second}": _shared((pair[::-1] for pair in different[first]), different[second])
        for first, second in combinations(pairs, 2)
    }
