import random
from collections import Counter
from collections.abc import Iterator
from hashlib import sha256

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lnbench.tasks.data import large, split
from lnbench.tasks.data.source import ROLES
from lnbench.tasks.data.split import cut, hashed, normalise, overlap, swapped, together

SHARES = {"validation": 0.2, "test": 0.3}


def assign(keys: list[str], shares: dict[str, float], seed: int) -> list[str]:
    return [ROLES[place] for place in split.assign(keys, shares, seed)]


def sample(keys: list[str], size: int, seed: int) -> list[int]:
    return split.sample(pd.Series(keys, dtype=object), list, size, seed)


KEYS = st.lists(st.text(max_size=4), max_size=40)


@given(KEYS, st.integers(0, 5))
def test_rows_with_equal_keys_get_the_same_role_whatever_their_order(keys: list[str], seed: int) -> None:
    roles = dict(zip(keys, assign(keys, SHARES, seed), strict=True))
    shuffled = random.Random(seed).sample(keys, len(keys))
    assert assign(shuffled, SHARES, seed) == [roles[key] for key in shuffled]
    assert assign(keys[:1], SHARES, seed) == [roles[key] for key in keys[:1]]


@given(KEYS)
def test_a_cut_is_a_partition_in_order(keys: list[str]) -> None:
    frame = pd.DataFrame({"key": keys}, index=range(len(keys)))
    parts = cut(frame, split.assign(keys, SHARES, 0))
    assert sorted(row for part in parts.values() for row in part.index) == list(range(len(keys)))
    assert all(part.index.is_monotonic_increasing for part in parts.values())


def test_shares_are_about_kept_and_seeds_differ() -> None:
    keys = [f"text {number}" for number in range(10_000)]
    drawn = Counter(assign(keys, SHARES, 0))
    assert drawn["validation"] == pytest.approx(2_000, abs=150)
    assert drawn["test"] == pytest.approx(3_000, abs=150)
    assert assign(keys, SHARES, 0) != assign(keys, SHARES, 1)


def test_the_draw_is_fixed_for_ever() -> None:
    """Another draw would silently change every published split: this must not follow the code."""
    # The first 12 hexadecimal digits of `printf '7\na' | sha256sum`, as a fraction, are 0.598 for a,
    # and 0.437, 0.340, 0.358, 0.063, 0.863 for b to f.
    drawn = assign(list("abcdef"), {"validation": 0.35, "test": 0.2}, 7)
    assert drawn == ["train", "test", "validation", "test", "validation", "train"]


def test_nothing_is_cut_without_shares() -> None:
    assert assign(["a", "b"], {}, 0) == ["train", "train"]


def test_normalise_folds_case_and_white_space() -> None:
    assert normalise("  A\tStraße \n b ") == normalise("a STRASSE B") == "a strasse b"


def test_overlap_counts_rows_of_the_later_split() -> None:
    keys = {"train": ["a", "b", "b"], "validation": ["b", "c"], "test": ["b", "a", "b", "d"], "more": []}
    found = overlap({role: hashed(some) for role, some in keys.items()})
    assert found.pop("train/validation") == 1
    assert found.pop("train/test") == 3
    assert found.pop("validation/test") == 2
    assert set(found.values()) == {0}
    assert overlap({"train": hashed(["a", "a"])}) == {}


@pytest.fixture
def small() -> Iterator[None]:
    """A piece has two rows, and every array is in a file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(large, "ROWS", 2)
        patch.setattr(large, "IN_MEMORY", 8)
        yield


PAIRS = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc")), max_size=9)


@pytest.mark.usefixtures("small")
@given(PAIRS, PAIRS)
def test_pieces_in_files_count_the_same_rows(first: list[tuple[str, str]], second: list[tuple[str, str]]) -> None:
    pairs = {"train": first, "test": second}
    assert overlap({role: hashed(some) for role, some in pairs.items()}) == {
        "train/test": sum(pair in first for pair in second)
    }
    columns = {role: tuple(hashed([pair[place] for pair in some]) for place in (0, 1)) for role, some in pairs.items()}
    assert swapped(columns) == {  # type: ignore[arg-type]
        "train/test": sum(a != b and (b, a) in first for a, b in second)
    }


@pytest.mark.usefixtures("small")
@given(st.lists(st.sampled_from("abcdef"), max_size=20), st.integers(0, 5), st.integers(1, 9))
def test_a_sample_has_the_rows_with_the_least_hashes(keys: list[str], seed: int, size: int) -> None:
    """Another draw would silently change every published sample."""
    points = [
        sha256(f"sample {seed}\n{keys[:place].count(key)}\n{key}".encode()).hexdigest()[:12]
        for place, key in enumerate(keys)
    ]
    assert sample(keys, size, seed) == sorted(sorted(range(len(keys)), key=points.__getitem__)[:size])


@given(KEYS, st.integers(0, 5), st.integers(1, 9))
def test_a_sample_is_in_order_and_part_of_any_larger_one(keys: list[str], seed: int, size: int) -> None:
    drawn = sample(keys, size, seed)
    assert drawn == sorted(set(drawn))
    assert len(drawn) == min(size, len(keys))
    assert set(drawn) <= set(sample(keys, size + 3, seed))


@given(st.lists(st.text(max_size=4), max_size=40, unique=True), st.integers(0, 5))
def test_a_sample_of_distinct_keys_does_not_depend_on_their_order(keys: list[str], seed: int) -> None:
    shuffled = random.Random(seed).sample(keys, len(keys))
    assert {keys[place] for place in sample(keys, 7, seed)} == {shuffled[place] for place in sample(shuffled, 7, seed)}


def test_samples_differ_by_seed_and_spread_over_repeated_keys() -> None:
    keys = [f"text {number // 5}" for number in range(1_000)]
    drawn = sample(keys, 100, 0)
    assert drawn != sample(keys, 100, 1)
    assert sum(drawn) / 100 == pytest.approx(500, abs=90)
    assert len({keys[place] for place in drawn}) > 60


@pytest.mark.parametrize(
    ("columns", "groups"),
    [
        (["abc"], "abc"),
        (["abca", "xyzz"], "abaa"),
        (["abcd", "xyyx"], "abba"),
        (["abcd", "xyzw", "1221"], "abba"),
        (["abcd", "xxyz", "1223"], "aaad"),
    ],
)
def test_rows_that_share_a_value_in_any_column_are_one_group(columns: list[str], groups: str) -> None:
    assert together([list(column) for column in columns]) == list(groups)


@given(
    st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from("wxyz"), st.sampled_from("123456")), max_size=12),
    st.integers(0, 9),
)
def test_groups_are_the_connected_rows_whatever_their_order(rows: list[tuple[str, str, str]], seed: int) -> None:
    def groups(some: list[tuple[str, str, str]]) -> dict[tuple[str, str, str], str]:
        return dict(zip(some, together([[row[place] for row in some] for place in range(3)]), strict=True))

    found = groups(rows)
    assert groups(random.Random(seed).sample(rows, len(rows))) == found
    for one in rows:
        for other in rows:
            if any(a == b for a, b in zip(one, other, strict=True)):
                assert found[one] == found[other]
    assert all(found[row] == min(other[0] for other in rows if found[other] == found[row]) for row in rows)
