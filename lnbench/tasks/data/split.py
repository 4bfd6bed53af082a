"""Cuts and samples splits by the text of their rows, and counts texts that occur in two splits."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from lnbench.tasks.data.large import ROWS, chosen

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray


SWAPPED = ":swapped"
"""Suffix in the name of an overlap, after two roles, for pairs with their texts swapped."""


def normalise(text: str) -> str:
    """A text with case folded and white space collapsed. Two texts with the same normalised form count as the same."""
    return " ".join(text.split()).casefold()


def assign(keys: Iterable[str], shares: Mapping[str, float], seed: int) -> list[str]:
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
    return {
        role: chosen(frame, np.fromiter((drawn == role for drawn in roles), bool, len(roles)))
        for role in sorted(set(roles))
    }


def hashed(keys: Iterable[Hashable]) -> NDArray[np.int64]:
    """(N,) a hash of each key, for this process. Of 5 million keys, two have one hash with a probability of 1e-6."""
    return np.fromiter(map(hash, keys), np.int64)


def overlap(keys: Mapping[str, Sequence[str] | NDArray[np.int64]]) -> dict[str, int]:
    """For each two roles, the number of rows of the later one with a key that the earlier one has too.

    Returns:
        Numbers of rows by names such as `"train/test"`.
    """
    return {f"{first}/{second}": _shared(keys[first], keys[second]) for first, second in combinations(keys, 2)}


def _shared(first: Sequence[Any] | NDArray[Any], second: Sequence[Any] | NDArray[Any]) -> int:
    """The number of entries of `second` that are in `first` too."""
    wanted, counts = np.unique(np.asarray(second), return_counts=True)
    if not len(wanted):
        return 0
    found = np.zeros(len(wanted), bool)
    for start in range(0, len(first), ROWS):
        some = np.asarray(first[start : start + ROWS])
        places = np.minimum(np.searchsorted(wanted, some), len(wanted) - 1)
        found[places[wanted[places] == some]] = True
    return int(counts[found].sum())


def swapped(pairs: Mapping[str, tuple[NDArray[np.int64], NDArray[np.int64]]]) -> dict[str, int]:
    """For each two roles, the number of pairs of the later one that the earlier one has with their texts swapped.

    Pairs of equal texts are not counted.

    Args:
        pairs: by role, the hashes of the first texts and of the second ones, both (N,).

    Returns:
        Numbers of rows by names such as `"train/test"`.
    """
    different = {role: (first[first != second], second[first != second]) for role, (first, second) in pairs.items()}
    return {
        f"{one}/{other}": _shared(_joint(*different[one][::-1]), _joint(*different[other]))
        for one, other in combinations(pairs, 2)
    }


def _joint(first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.uint64]:
    """(N,) one hash of each pair of hashes, in which their order counts."""
    return first.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + second.astype(np.uint64)
