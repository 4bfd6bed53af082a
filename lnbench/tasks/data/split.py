"""Cuts and samples splits by the text of their rows, and counts texts that occur in two splits."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


SWAPPED = ":swapped"
"""In a name of an overlap, behind two roles: of pairs, with their texts swapped."""


def normalise(text: str) -> str:
    """The form in which two texts count as the same: case folded, white space collapsed."""
    return " ".join(text.split()).casefold()


def assign(keys: Sequence[str], shares: Mapping[str, float], seed: int) -> list[str]:
    """Draws a role for each row from the hash of its key: a share of the keys for each role, else train.

    The role of a row depends on nothing but its key, the seed and the shares, so rows with equal
    keys get the same role, whatever their order.

    Args:
        keys: one key a row.
        shares: role to the expected share of the distinct keys; their sum is below 1.
        seed: another seed draws other roles.
    """
    roles = {key: _draw(key, shares, seed) for key in set(keys)}
    return [roles[key] for key in keys]


def together(columns: Sequence[Sequence[str]]) -> list[str]:
    """For each row the key of its group: rows that share a value in any column, directly or over other rows, are one.

    Args:
        columns: one value a row in each; the keys are the least values of the first column in their groups.

    Returns:
        One key a row, which does not depend on the order of the rows; of one column, its values.
    """
    first, *others = columns
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


def sample(keys: Sequence[str], size: int, seed: int) -> list[int]:
    """Draws rows by the hashes of their keys.

    A row's chance depends on its key, the seed, and how many rows before it have the same key; so
    samples do not depend on the order of rows with different keys, and a smaller one is part of a
    larger one.

    Args:
        keys: one key a row.
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
    """A number in [0, 1), drawn by the text's hash."""
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
    """For each two roles, how many rows of the later one have a key that the earlier one has too.

    Returns:
        `"train/test"` and the like to a number of rows.
    """
    distinct = {role: set(values) for role, values in keys.items()}
    return {
        f"{first}/{second}": sum(key in distinct[first] for key in keys[second])
        for first, second in combinations(keys, 2)
    }


def swapped(pairs: Mapping[str, Sequence[tuple[str, str]]]) -> dict[str, int]:
    """For each two roles, how many pairs of the later one are a pair of the earlier one turned round.

    A pair of equal texts is the same turned round, and is not counted.

    Returns:
        `"train/test"` and the like to a number of rows.
    """
    different = {role: [pair for pair in values if pair[0] != pair[1]] for role, values in pairs.items()}
    turned = {role: {pair[::-1] for pair in values} for role, values in different.items()}
    return {
        f"{first}/{second}": sum(pair in turned[first] for pair in different[second])
        for first, second in combinations(pairs, 2)
    }
