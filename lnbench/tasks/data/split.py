"""Cuts and samples splits by the text of their rows, and counts texts that occur in two splits."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from lnbench.tasks.data.large import Values, chosen, grown, in_order, pieces, slices
from lnbench.tasks.data.source import ROLES

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray


LEFT_OUT = len(ROLES)
"""Takes the place of a role for rows that are left out."""
SWAPPED = ":swapped"
"""Suffix in the name of an overlap, after two roles, for pairs with their texts swapped."""


def normalise(text: str) -> str:
    """A text with case folded and white space collapsed. Two texts with the same normalised form count as the same."""
    return " ".join(text.split()).casefold()


def assign(keys: Iterable[str], shares: Mapping[str, float], seed: int) -> NDArray[np.uint8]:
    """Draws a role for each row from the hash of its key. Each role gets its share of the keys, and train the rest.

    The role of a row depends only on its key, the seed and the shares. So rows with equal keys get the same role,
    whatever their order.

    Args:
        keys: one key per row.
        shares: role to the expected share of the distinct keys; their sum is below 1.
        seed: another seed draws other roles.

    Returns:
        (N,) the place of each row's role in `ROLES`.
    """
    return np.fromiter((ROLES.index(_draw(key, shares, seed)) for key in keys), np.uint8)


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


def sample(rows: Values, keys_of: Callable[[Values], Iterable[str]], size: int, seed: int | str) -> list[int]:
    """Draws rows by the hashes of their keys.

    Whether a row is drawn depends on its key, the seed, and how many rows before it have the same key. So samples do
    not depend on the order of rows with different keys, and a smaller sample is part of a larger one.

    Args:
        rows: N rows.
        keys_of: gives the key of each of some rows.
        size: number of rows to draw; all if there are fewer.
        seed: another seed draws other rows.

    Returns:
        The places of the drawn rows, in ascending order.
    """
    return _least(grown(_points(rows, keys_of, seed)), size) if size < len(rows) else list(range(len(rows)))


def _least(points: NDArray[np.float64], size: int) -> list[int]:
    """The places of the least numbers, in ascending order. Of equal ones, the first count."""
    last = in_order(points)[size - 1]
    below = _where(points, lambda some: some < last)
    level = _where(points, lambda some: some == last)
    return sorted([*below, *level[: size - len(below)]])


def _where(values: NDArray[Any], test: Callable[[NDArray[Any]], NDArray[np.bool_]]) -> list[int]:
    """The places of the values that pass a test."""
    places: list[int] = []
    start = 0
    for some in slices(values):
        places += (start + np.flatnonzero(test(some))).tolist()
        start += len(some)
    return places


def _points(rows: Values, keys_of: Callable[[Values], Iterable[str]], seed: int | str) -> Iterator[NDArray[np.float64]]:
    """A number in [0, 1) for each row, a piece at a time. Only keys that are repeated are in memory."""
    hashes = grown(hashed(keys_of(part)) for part in pieces(rows))
    ordered = in_order(hashes)
    repeated = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    seen: Counter[str] = Counter()
    for part, some in zip(pieces(rows), slices(hashes), strict=True):
        points = []
        for key, is_repeated in zip(keys_of(part), np.isin(some, repeated).tolist(), strict=True):
            points.append(_point(f"sample {seed}\n{seen[key]}\n{key}"))
            if is_repeated:
                seen[key] += 1
        yield np.array(points, np.float64)


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


def cut(frame: pd.DataFrame, roles: NDArray[np.uint8]) -> dict[str, pd.DataFrame]:
    """The rows of each role that has some, in their order in `frame`.

    Args:
        frame: N rows.
        roles: (N,) the place of each row's role in `ROLES`, or `LEFT_OUT`.
    """
    wanted = {role: grown(np.equal(some, place) for some in slices(roles)) for place, role in enumerate(ROLES)}
    return {role: chosen(frame, rows) for role, rows in wanted.items() if rows.any()}


def hashed(keys: Iterable[Hashable]) -> NDArray[np.int64]:
    """(N,) a hash of each key, for this process. Of 5 million keys, two have one hash with a probability of 1e-6."""
    return np.fromiter(map(hash, keys), np.int64)


def overlap(keys: Mapping[str, NDArray[np.int64]]) -> dict[str, int]:
    """For each two roles, the number of rows of the later one with a key that the earlier one has too.

    Args:
        keys: by role, the hash of each row's key.

    Returns:
        Numbers of rows by names such as `"train/test"`.
    """
    return {f"{first}/{second}": _shared(keys[first], keys[second]) for first, second in combinations(keys, 2)}


def _shared(first: NDArray[np.integer], second: NDArray[np.integer]) -> int:
    """The number of entries of `second` that are in `first` too."""
    return int(np.count_nonzero(members(second, first)))


def members(values: NDArray[np.integer], known: NDArray[np.integer]) -> NDArray[np.bool_]:
    """(N,) whether each of the values is one of those that are known."""
    if not len(known):
        return np.zeros(len(values), bool)
    ordered = in_order(known)
    return grown(ordered[_places(ordered, some)] == some for some in slices(values))


def _places(ordered: NDArray[np.integer], some: NDArray[np.integer]) -> NDArray[np.intp]:
    """(N,) the only places in `ordered` where the values may be."""
    return np.minimum(np.searchsorted(ordered, some), len(ordered) - 1)


def swapped(pairs: Mapping[str, tuple[NDArray[np.int64], NDArray[np.int64]]]) -> dict[str, int]:
    """For each two roles, the number of pairs of the later one that the earlier one has with their texts swapped.

    Pairs of equal texts are not counted.

    Args:
        pairs: by role, the hashes of the first texts and of the second ones, both (N,).

    Returns:
        Numbers of rows by names such as `"train/test"`.
    """
    return {
        f"{one}/{other}": _shared(_joint(*pairs[one][::-1]), _joint(*pairs[other]))
        for one, other in combinations(pairs, 2)
    }


def _joint(first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.uint64]:
    """One hash of each pair of different hashes, in which their order counts."""
    return grown(
        one[one != other].astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + other[one != other].astype(np.uint64)
        for one, other in zip(slices(first), slices(second), strict=True)
    )
